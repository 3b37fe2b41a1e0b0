"""The fixture, proven with a shop app that is right and one that is not."""

import time
from decimal import Decimal

import pytest
from pytest_payterm import MishapError
from pytest_payterm.acquirer import MISHAPS
from shop import careful, in_background, naive

ONCE = [Decimal("12.34")]


def test_a_sale(payterm):
    payterm.customer.pays("alice")
    assert careful("order-1", "12.34")["status"] == "approved"
    assert payterm.acquirer.charges() == ONCE
    assert payterm.acquirer.net("order-1") == payterm.acquirer.net() == Decimal("12.34")
    assert "12.34" in payterm.customer.papers(2)[0]
    payterm.acquirer.check()


def test_a_slow_bank_charges_once_who_keeps_the_id(payterm):
    payterm.customer.pays("alice")
    with payterm.mishap("delay", ms=1200):
        assert careful("order-2", "12.34")["status"] == "approved"
    assert payterm.acquirer.charges() == ONCE


def test_a_slow_bank_charges_twice_who_makes_a_new_id(payterm):
    payterm.customer.pays("alice")
    payterm.customer.pays("alice")
    with payterm.mishap("delay", ms=1200):
        assert naive("order-3", "12.34")["status"] == "approved"
    assert payterm.acquirer.charges() == ONCE * 2, "the naive app is seen"
    assert payterm.acquirer.net() == Decimal("24.68")


def test_a_lost_answer_is_reversed(payterm):
    payterm.customer.pays("alice")
    with payterm.mishap("drop_reply"), payterm.mishap("drop_request", mti="0400"):
        outcome = in_background(careful, "order-4", "12.34")
        assert outcome()["status"] == "declined"
    payterm.settle()
    assert payterm.outcome("order-4")["reason"]["code"] == "reversed"
    assert payterm.acquirer.charges() == []
    assert [m["mti"] for m in payterm.acquirer.messages()] == ["0800", "0200", "0400", "0400"]


def test_a_terminal_that_dies_with_the_frame_on_its_way(payterm):
    payterm.customer.pays("alice")
    with payterm.mishap("delay", ms=800):
        outcome = in_background(careful, "order-5", "12.34")
        until = time.monotonic() + 10
        while payterm.acquirer.stats()["frames"] < 2 and time.monotonic() < until:
            time.sleep(0.01)
        payterm.kill()
        payterm.start()
        told = outcome()
    payterm.settle()
    assert told["status"] == "declined" and told["reason"]["code"] == "reversed"
    assert payterm.acquirer.net("order-5") == 0


def test_no_acquirer_no_charge(payterm):
    payterm.customer.pays("alice")
    with payterm.acquirer.down():
        outcome = careful("order-6", "12.34")
    assert (outcome["status"], outcome["reason"]["code"]) == ("failed", "not-sent")
    payterm.customer.pays("alice")
    assert careful("order-6-again", "12.34")["status"] == "approved"
    assert payterm.acquirer.charges() == ONCE


def test_a_refusal_and_a_customer_who_leaves(payterm):
    payterm.customer.pays("alice")
    with payterm.mishap("code", code="51"):
        outcome = careful("order-7", "12.34")
    assert (outcome["status"], outcome["reason"]["code"]) == ("declined", "host-51")
    outcome = in_background(careful, "order-8", "12.34")
    payterm.customer.cancel()
    assert outcome()["status"] == "cancelled"
    payterm.restart()
    assert payterm.outcome("order-8")["status"] == "cancelled"
    assert payterm.acquirer.net() == 0


def test_a_mishap_that_does_not_happen_fails_the_test(payterm):
    with pytest.raises(MishapError, match="never came to pass: no sale request"):
        with payterm.mishap("drop_reply"):
            pass
    with payterm.mishap("busy", must_happen=False):
        pass
    with payterm.mishap("busy", mti="0400", must_happen=False):
        with pytest.raises(MishapError):
            with payterm.mishap("bad_mac", kind="refund"):
                pass
        waiting = payterm.acquirer._control({"cmd": "mishaps"})["mishaps"]
        assert [p["mishap"]["type"] for p in waiting] == ["busy"], "the outer one is left"
    for wrong in (
        {"name": "drop-replies"},
        {"name": "delay"},
        {"name": "delay", "ms": "soon"},
        {"name": "busy", "ms": 5},
        {"name": "code", "code": "00"},
    ):
        with pytest.raises(MishapError):
            with payterm.mishap(**wrong):
                pass


def test_the_acquirer_knows_every_name(payterm):
    values = {"ms": 5, "code": "51", "digit": 1}
    for name, takes in MISHAPS.items():
        with payterm.mishap(name, must_happen=False, **({takes: values[takes]} if takes else {})):
            pass


def test_names_and_numbers_may_be_written_as_on_the_command_line(payterm):
    late = payterm.mishap("late-reply", ms="5", must_happen=False)
    with late, payterm.mishap("code", code="51", must_happen=False):
        waiting = payterm.acquirer._control({"cmd": "mishaps"})["mishaps"]
    assert [p["mishap"] for p in waiting] == [{"type": "late-reply", "ms": 5}, {"type": "code", "code": "51"}]


def test_what_is_wrong_is_said(payterm):
    with pytest.raises(LookupError, match="no test card 'nobody'; there are: alice "):
        payterm.customer.swipe("nobody")
    with pytest.raises(LookupError, match="nothing"):
        payterm.outcome("nothing-1")
    assert "ready" in payterm.log()
