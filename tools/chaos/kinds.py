"""The kinds of faults."""

from enum import StrEnum


class Kind(StrEnum):
    """A kind of fault, as `--kinds` names it."""

    KILL = "kill"
    STOP = "stop"
    # What can become of one request on its way, and of its answer: tools/chaos/proxy.py.
    DROP_REQUEST = "drop-request"
    DROP_ANSWER = "drop-answer"
    LATE_REQUEST = "late-request"
    DELAY_ANSWER = "delay-answer"
    DUPLICATE = "duplicate"
    RESET = "reset"
    HANG = "hang"
    DRIP = "drip"
    GATEWAY = "gateway"
    # The machine around them.
    CLOCK_SKEW = "clock-skew"
    CLOCK_JUMP = "clock-jump"
    DATABASE = "database"
