"""The states of a charge."""

import pytest

from services.payment.models import Charge, ChargeStatus, WrongTransition

ALLOWED = [
    (ChargeStatus.PENDING, ChargeStatus.APPROVED),
    (ChargeStatus.PENDING, ChargeStatus.DECLINED),
    (ChargeStatus.PENDING, ChargeStatus.VOIDED),
    (ChargeStatus.APPROVED, ChargeStatus.REFUNDED),
]


@pytest.mark.parametrize("target", ChargeStatus)
@pytest.mark.parametrize("origin", ChargeStatus)
def test_a_charge_goes_only_where_its_state_leads(origin: ChargeStatus, target: ChargeStatus) -> None:
    charge = Charge(status=origin)
    if (origin, target) in ALLOWED:
        charge.advance(target)
        assert charge.status is target
    else:
        with pytest.raises(WrongTransition):
            charge.advance(target)
        assert charge.status is origin
