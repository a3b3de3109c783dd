"""Quantities as a person reads them, the same in answers and in the terminal."""


def percent(share: float) -> str:
    """Return a share of 1 in percent: 0 %, 0.4 %, 97 %, 99.6 %. Only nothing is 0 % and only all is 100 %."""
    value = share * 100
    digits = 1 if 0 < value < 1 or 99 < value < 100 else 0
    text = f"{value:.{digits}f}"
    return f"{'<0.1' if text == '0.0' else '>99.9' if text == '100.0' else text} %"
