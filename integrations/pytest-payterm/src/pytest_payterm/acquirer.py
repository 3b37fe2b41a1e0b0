"""The acquirer: its mishaps, and its ledger for assertions."""

import contextlib
import json
from decimal import Decimal

from .lines import ask
from .programs import run

MISHAPS = {
    "delay": "ms",
    "drop_request": None,
    "drop_reply": None,
    "duplicate_reply": None,
    "corrupt_reply": None,
    "bad_mac": None,
    "no_mac": None,
    "close_mid_frame": None,
    "busy": None,
    "wrong_stan": None,
    "late_reply": "ms",
    "code": "code",
    "requirement": "digit",
    "not_balanced": None,
    "settle_error": None,
    "bad_totals": None,
    "endless_list": None,
    "zero_checksum": None,
    "truncated_tlv": None,
    "no_entry": None,
    "no_end": None,
}
"""The mishaps by name, each with the value that it takes, if any (docs/testing.md)."""


class MishapError(AssertionError):
    """A mishap that is not what the test meant: no such name, a value missing, or it never came to pass."""


class Acquirer:
    def __init__(self, state, account, start, stop, explain):
        self._state, self._account = state, account
        self._start, self._stop, self._explain = start, stop, explain

    # ---- Mishaps

    @contextlib.contextmanager
    def mishap(self, name, *, kind="sale", mti=None, next=1, must_happen=True, **value):
        """Trouble for the `next` messages that fit: requests of this `kind` (not their reversals), or
        messages with this `mti` (`"0400"` is a reversal), or with `kind=None` any. What was not used is
        forgotten at the end. A mishap that never came to pass fails the test, because that test has shown
        nothing; `must_happen=False` lets it be. `drop-reply` is `drop_reply`, as the acquirer's own command
        has it.
        """
        name = name.replace("-", "_")
        takes = MISHAPS.get(name, MishapError)
        if takes is MishapError:
            raise MishapError(f"there is no mishap {name!r}; there are: {' '.join(MISHAPS)}")
        if set(value) != ({takes} if takes else set()):
            wanted, given = f"{takes}=..." if takes else "no value", ", ".join(value) or "nothing"
            raise MishapError(f"{name} takes {wanted}, not {given}")
        # A number may come as text, a code stays one: "05".
        for key, given in value.items():
            if key != "code" and isinstance(given, str) and given.isdecimal():
                value[key] = int(given)
        plan = {"mishap": {"type": name.replace("_", "-"), **value}, "next": next}
        plan.update({"mti": mti} if mti else {"kind": kind} if kind else {})
        self._control({"cmd": "mishap", **plan})
        yield
        left = self._forget(plan)
        if must_happen and left == next:
            which = f"message {mti}" if mti else f"{kind} request" if kind else "message"
            raise MishapError(f"the mishap {name} never came to pass: no {which} reached the acquirer")

    def clear_mishaps(self):
        """Forgets all that wait."""
        self._control({"cmd": "clear"})

    def _forget(self, plan):
        """Takes this one out; how often it would still have come."""

        def same(other):
            return all(other.get(k) == plan.get(k) for k in ("mishap", "kind", "mti"))

        waiting = self._control({"cmd": "mishaps"})["mishaps"]
        mine = [p for p in waiting if same(p)]
        if not mine:
            return 0
        self._control({"cmd": "clear"})
        for other in waiting:
            if other is not mine[0]:
                self._control({"cmd": "mishap", **{k: v for k, v in other.items() if v is not None}})
        return mine[0]["next"]

    def _control(self, command):
        answer = ask(self._state / "control.sock", command)
        if not answer["ok"]:
            raise MishapError(f"the acquirer: {answer['error']}")
        return answer

    @contextlib.contextmanager
    def down(self):
        """The acquirer is not there inside the block; it comes back with its ledger, at the same address."""
        self._stop()
        try:
            yield
        finally:
            self._start()

    # ---- The ledger

    def net(self, request=None):
        """What the shop (with the acquirer's fee) holds, of one request or of all: Decimal."""
        frames = self._frames(request) if request else None
        return sum((s["amount"] for s in self._standing(frames)), Decimal("0.00"))

    def charges(self):
        """The payments that stand at the acquirer, in their order: Decimals. One that was reversed or voided
        does not stand; a refund is one of its own, below zero."""
        return [s["amount"] for s in self._standing(None) if s["amount"]]

    def messages(self):
        """What reached the acquirer, in order: `mti`, `stan`, `code`, `mishap`."""
        log = json.loads(run("payterm-acquirer", "log", "--json", "--state", self._state))
        return [{k: m.get(k) for k in ("mti", "stan", "code", "mishap")} for m in log]

    def stats(self):
        """Counters of this run of the acquirer: `connections`, `frames`, `bad_frames`, `mishaps`."""
        return self._control({"cmd": "stats"})["stats"]

    def check(self):
        """Asserts that the ledger is sound: every posting sums to zero, nothing is overdrawn."""
        done = run("payterm-acquirer", "check", "--json", "--state", self._state, check=False)
        report = json.loads(done.stdout)
        assert not report["broken"], report["broken"]

    def _frames(self, request):
        """Account, batch and STAN of the request's own frames."""
        entries = [e["record"].get("request", {}) for e in self._explain(request)["entries"]]
        allowed = [record["allowed"] for record in entries if "allowed" in record]
        return {(r["account"], r["plan"]["batch"], r["plan"]["stan"]) for r in allowed}

    def _standing(self, frames):
        """One row a payment with what is left of it."""
        ours = {f"merchant:{self._account}", f"fees:{self._account}"}
        rows, undone = {}, {}
        for p in json.loads(run("payterm-acquirer", "ledger", "--json", "--state", self._state)):
            if p["account"] is None:
                continue
            root = undone.get(p["undoes"], p["undoes"]) or p["id"]
            undone[p["id"]] = root
            frame = p["account"], p["batch"], p["stan"]
            row = rows.setdefault(root, {"frame": frame, "amount": Decimal("0.00")})
            row["amount"] += sum(Decimal(minor) / 100 for name, minor in p["lines"] if name in ours)
        return [r for r in rows.values() if frames is None or r["frame"] in frames]
