"""What docs/testing.md says that an app sees of each mishap."""

from decimal import Decimal

import pytest
from pytest_payterm.acquirer import MISHAPS
from shop import careful

REVERSED = ("declined", "reversed", 0)
SEEN = {
    "delay": ("approved", None, 1),
    "drop_request": REVERSED,
    "drop_reply": REVERSED,
    "duplicate_reply": ("approved", None, 1),
    "corrupt_reply": REVERSED,
    "bad_mac": REVERSED,
    "no_mac": REVERSED,
    "close_mid_frame": REVERSED,
    "busy": ("approved", None, 1),
    "wrong_stan": REVERSED,
    "late_reply": REVERSED,
    "code": ("declined", "host-51", 0),
    "requirement": ("approved", None, 1),
    # Of settlements: a sale does not meet them.
    "not_balanced": ("approved", None, 1),
    "settle_error": ("approved", None, 1),
    "bad_totals": ("approved", None, 1),
    # Of downloads for the card kernel: neither.
    "endless_list": ("approved", None, 1),
    "zero_checksum": ("approved", None, 1),
    "truncated_tlv": ("approved", None, 1),
    "no_entry": ("approved", None, 1),
    "no_end": ("approved", None, 1),
}
VALUES = {"delay": 200, "late_reply": 1200, "code": "51", "requirement": 3}


@pytest.fixture
def payterm_options():
    return {"reply_timeout_ms": 600, "obligation_backoff_ms": 50}


def test_every_mishap_is_told():
    assert set(SEEN) == set(MISHAPS)


@pytest.mark.parametrize("name", MISHAPS)
def test_what_an_app_sees(payterm, name):
    payterm.customer.pays("alice")
    value = {MISHAPS[name]: VALUES[name]} if MISHAPS[name] else {}
    with payterm.mishap(name, **value):
        outcome = careful("order-1", "12.34")
    payterm.settle()
    status, code, charges = SEEN[name]
    assert (outcome["status"], outcome.get("reason", {}).get("code")) == (status, code)
    assert payterm.outcome("order-1")["status"] == status, "a final outcome stays"
    assert payterm.acquirer.charges() == [Decimal("12.34")] * charges
    payterm.acquirer.check()
