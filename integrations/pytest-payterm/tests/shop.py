"""Two shop apps: one that asks again under the same order, and one that takes each try for a new order."""

import asyncio
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "dbus" / "examples"))
from payterm_bus import Fault, call, connect, is_final, request  # noqa: E402

PATIENCE = 0.5
"""Seconds after which both tills ask again: far too few, which is what makes the difference between them."""


async def _once(order, amount):
    bus = await connect()
    try:
        sale = request(id=order, kind="sale", amount=amount, currency="CNY", cancel_on_caller_lost=False)
        path = await call(bus, "Start", "a{sv}", sale)
        return await asyncio.wait_for(call(bus, "WaitFinal", "o", path), PATIENCE)
    finally:
        bus.disconnect()


def _keep_asking(next_id, amount, within=20):
    until = time.monotonic() + within
    while time.monotonic() < until:
        try:
            outcome = asyncio.run(_once(next_id(), amount))
            if is_final(outcome):
                return outcome
        except (asyncio.TimeoutError, Fault):
            time.sleep(0.05)
    raise AssertionError("no outcome")


def careful(order, amount):
    """Whatever goes wrong, it is the same order: the same id."""
    return _keep_asking(lambda: order, amount)


def naive(order, amount):
    """A new id for every try."""
    tries = iter(range(1, 1000))
    return _keep_asking(lambda: f"{order}-{next(tries)}", amount)


def in_background(app, *args):
    """Answers a function that waits for the app's outcome."""
    got = []
    thread = threading.Thread(target=lambda: got.append(app(*args)), daemon=True)
    thread.start()

    def outcome():
        thread.join(30)
        assert got, "the app did not come to an end"
        return got[0]

    return outcome
