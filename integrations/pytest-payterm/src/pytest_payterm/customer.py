"""The customer at the virtual devices."""

import time

from .lines import ask

WAIT = 10.0
"""Seconds for which is waited for the terminal to show or ask something."""


class Refused(Exception):
    """The terminal's devices did not take it: what, and why."""


class Customer:
    """What the customer does is kept until the terminal asks for it, so it can stand before the app's call;
    with `wait` seconds it is done in this moment, and refused when the terminal does not ask for it until
    then."""

    def __init__(self, socket, cards, page):
        self._socket, self._page = socket, page
        self.cards = cards
        """The acquirer's test cards by name: `pan`, `expiry`, `track2`, `pin`."""

    def pays(self, card="alice", wait=None):
        """Swipes a test card and types its PIN."""
        self.swipe(card, wait)
        if self._card(card)["pin"]:
            self.pin(self._card(card)["pin"], wait)

    def swipe(self, card="alice", wait=None):
        """A test card by its name, or a track 2: `PAN=YYMM...`."""
        track2 = card if "=" in card else self._card(card)["track2"]
        self._do(wait, do="swipe", tracks=f";{track2}?")

    def pin(self, digits, wait=None):
        """4 to 12 digits, `cancel` or `bypass`."""
        self._do(wait, do="pin", pin=digits)

    def scan(self, code, wait=None):
        """Shows a payment code, 18 digits: `13...` is WeChat's, `28...` Alipay's, `62...` UnionPay's."""
        self._do(wait, do="scan", code=code)

    def key(self, key, wait=None):
        """Presses `confirm`, `cancel` or a digit."""
        self._do(wait, do="key", key=key)

    def cancel(self, wait=WAIT):
        """Presses Cancel as soon as the terminal asks for a card, a code or the PIN."""
        until = time.monotonic() + wait
        while (page := self._page()) not in ("present", "pin"):
            if time.monotonic() > until:
                raise Refused(f"cancel: the customer is not asked for anything within {wait} s")
            time.sleep(0.02)
        if page == "pin":
            self.pin("cancel", wait)
        else:
            self.key("cancel", wait)

    def screen(self, contains="", wait=WAIT):
        """The lines of the display, as soon as this text is on it."""
        timeout = int(wait * 1000)
        return self._ask({"do": "screen", "contains": contains, "timeout_ms": timeout}, wait)["lines"]

    def papers(self, count=0, wait=WAIT):
        """The papers that came out, as soon as there are that many."""
        return self._ask({"do": "papers", "count": count, "timeout_ms": int(wait * 1000)}, wait)["papers"]

    def printer(self, online):
        """Switches the printer on or off."""
        self._ask({"do": "printer", "on": online})

    def _card(self, name):
        try:
            return self.cards[name]
        except KeyError:
            raise LookupError(f"no test card {name!r}; there are: {' '.join(sorted(self.cards))}") from None

    def _do(self, wait, **command):
        when = {"queue": True} if wait is None else {"wait_ms": int(wait * 1000)}
        return self._ask({**command, **when}, wait or 0)

    def _ask(self, command, wait=0):
        answer = ask(self._socket, command, timeout=wait + 30)
        if "error" in answer:
            # What was typed or swiped is not repeated: it may be a card number.
            raise Refused(f"{command['do']}: {answer['error']['field']}: {answer['error']['rule']}")
        return answer
