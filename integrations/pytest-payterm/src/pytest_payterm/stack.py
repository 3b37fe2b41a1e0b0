"""A bus, an acquirer and a terminal as processes of their own, in a directory of their own."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .acquirer import Acquirer
from .customer import Customer
from .programs import find, run

READY = 20.0
"""Seconds that a program may take to get ready."""
ACCOUNT = "cup"
DEVICES = {
    "swipe": "magnetic_reader",
    "chip": "chip_reader",
    "tap": "contactless_reader",
    "scanner": "scanner",
    "keypad": "keypad",
    "pinpad": "pin_pad",
    "display": "display",
    "printer": "printer",
}


class NotReady(Exception):
    """A program did not start; the text has the end of its log."""


class Payterm:
    """`with Payterm() as payterm:` is a terminal in service. The fixture `payterm` is one a test."""

    def __init__(
        self, *, app="shop", language="en", reply_timeout_ms=2000, obligation_backoff_ms=200, config=""
    ):
        """`app`: what the tests' own user is called, a manager. `config`: TOML that is appended to the
        terminal's configuration."""
        self.app = app
        self._language, self._more = language, config
        self._account = {"reply_timeout_ms": reply_timeout_ms, "obligation_backoff_ms": obligation_backoff_ms}
        self._bus_daemon = self._acquirer = self._daemon = None
        self._port = 0

    # ---- Life

    def __enter__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="pytest-payterm-"))
        try:
            self._start_bus()
            self._start_acquirer()
            self._provision()
            cards = map(json.loads, run("payterm-acquirer", "cards", "--json", "--reveal").splitlines())
            cards = {c["name"]: {"pin": None, "track2": None, **c} for c in cards}
            self.customer = Customer(self.dir / "state" / "virtual.sock", cards, self._page)
            self.acquirer = Acquirer(
                self.dir / "acquirer", ACCOUNT, self._start_acquirer, self._stop_acquirer, self.explain
            )
            self.start()
            self._in_service()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in (self._daemon, self._acquirer, self._bus_daemon):
            if process is not None:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        """Starts the terminal; returns when calls are answered."""
        if self._daemon is not None and self._daemon.poll() is None:
            raise RuntimeError("the terminal runs already")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            path = self.dir / "notify.sock"
            path.unlink(missing_ok=True)
            notify.bind(str(path))
            notify.settimeout(0.05)
            config, env = self.dir / "payterm.toml", {"NOTIFY_SOCKET": str(path)}
            self._daemon = self._spawn("paytermd", "--config", config, env=env)
            until = time.monotonic() + READY
            while True:
                with contextlib.suppress(TimeoutError):
                    if b"READY=1" in notify.recv(4096):
                        return
                if self._daemon.poll() is not None or time.monotonic() > until:
                    raise NotReady(f"paytermd did not start:\n{self.log()}")

    def kill(self):
        """kill -9 of the terminal: a power cut, but for the machine's memory. `start()` brings it back."""
        self._daemon.kill()
        self._daemon.wait()

    def stop(self):
        """Stops the terminal in order, as systemd would."""
        self._daemon.send_signal(signal.SIGTERM)
        try:
            self._daemon.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def restart(self):
        """`stop()`, if it runs, and `start()`."""
        if self._daemon.poll() is None:
            self.stop()
        self.start()

    def mishap(self, name, **how):
        """`with payterm.mishap("drop_reply"):` See `Acquirer.mishap`."""
        return self.acquirer.mishap(name, **how)

    def settle(self, timeout=30):
        """The trouble is over: mishaps are forgotten, a terminal that was killed is started, and nothing is
        owed or running when this returns. What is stuck waits for a person, and is left."""
        self.acquirer.clear_mishaps()
        if self._daemon.poll() is not None:
            self.start()
        wait = "--wait", timeout, "--except", "stuck"
        done = self._ctl("inhibited", *wait, timeout=timeout + 30, check=False)
        if done.returncode:
            raise AssertionError(f"after {timeout} s the terminal still says: {done.stdout}{done.stderr}")

    # ---- What there is to see

    def environment(self):
        """What a process needs to find this terminal; the fixture sets it in the test's own."""
        state = str(self.dir / "state")
        return {"DBUS_SYSTEM_BUS_ADDRESS": self.bus, "PAYTERM_BUS": self.bus, "PAYTERM_STATE": state}

    def outcome(self, request):
        """The outcome of a request by its id, as a dict."""
        return self._ctl_json("recall", request)["outcome"]

    def explain(self, request):
        """Everything that happened in a request: `outcome`, `entries`, `slips`."""
        return self._ctl_json("explain", request)

    def log(self, lines=40):
        """The end of the terminal's log."""
        path = self.dir / "paytermd.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def story(self):
        """For a failure's report: (title, text)."""
        told = [("paytermd", self.log())]
        with contextlib.suppress(Exception):
            told.append(("the acquirer saw", "\n".join(map(str, self.acquirer.messages()))))
        return told

    # ---- Inside

    def _ctl(self, *args, **how):
        env = {"PAYTERM_STATE": str(self.dir / "state")}
        return run("paytermctl", "--bus", self.bus, *args, env=env, **how)

    def _ctl_json(self, *args):
        # `recall` tells the status by its exit status.
        done = self._ctl(*args, "--json", check=False)
        answer = json.loads(done.stdout or "null")
        if not answer or "fault" in answer:
            raise LookupError(f"paytermctl {' '.join(args)}: {done.stdout}{done.stderr}".strip())
        return answer

    def _spawn(self, name, *args, env=None):
        with open(self.dir / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                [find(name), *map(str, args)],
                env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.bus, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def _start_bus(self):
        address = "--print-address=1", f"--address=unix:dir={self.dir}"
        try:
            self._bus_daemon = subprocess.Popen(
                ["dbus-daemon", "--session", "--nofork", "--nopidfile", *address],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        except FileNotFoundError:
            raise NotReady("dbus-daemon is not there: install the package dbus") from None
        self.bus = self._bus_daemon.stdout.readline().strip()

    def _start_acquirer(self):
        ready = self.dir / "acquirer.ready"
        ready.unlink(missing_ok=True)
        listen = "--listen", f"unionpay=127.0.0.1:{self._port}", "--listen", "demo-x919=127.0.0.1:0"
        state = "--state", self.dir / "acquirer"
        self._acquirer = self._spawn("payterm-acquirer", "serve", *listen, *state, "--ready-file", ready)
        until = time.monotonic() + READY
        while not ready.exists():
            if self._acquirer.poll() is not None or time.monotonic() > until:
                log = (self.dir / "payterm-acquirer.log").read_text(errors="replace")
                raise NotReady("payterm-acquirer did not start:\n" + log[-2000:])
            time.sleep(0.005)
        self._port = int(json.loads(ready.read_text())["unionpay"].rsplit(":", 1)[1])

    def _stop_acquirer(self):
        self._acquirer.kill()
        self._acquirer.wait()

    def _provision(self):
        """Configuration and keys, as an engineer would fill them in."""
        state, key = self.dir / "state", self.dir / "vault.key"
        account = {
            "id": ACCOUNT,
            "profile": "unionpay",
            "mid": "TESTMERCHANT001",
            "tid": "TEST0001",
            "currency": "CNY",
            "address": f"127.0.0.1:{self._port}",
            "connect_timeout_ms": 2000,
            "obligation_backoff_max_ms": 1000,
            **self._account,
        }
        tables = [
            ("[terminal]", {"shop": "pytest shop", "language": self._language}),
            ("[operators]", {"required": False}),
            ("[inhibit]", {"logind": "off"}),
            ("[store]", {"dir": str(state)}),
            ("[vault]", {"key_file": str(key)}),
            ("[bus]", {"bus": "system"}),
            ("[[bus.caller]]", {"uid": os.getuid(), "app": self.app, "manager": True}),
            ("[[account]]", account),
        ]
        for name, kind in DEVICES.items():
            tables.append(("[[device]]", {"name": name, "kind": kind, "driver": "virtual"}))
        lines = []
        for head, table in tables:
            # A JSON text, number or boolean is one of TOML too.
            lines += [head, *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        (self.dir / "payterm.toml").write_text("\n".join([*lines, self._more, ""]))
        at = ["--state", state, "--key-file", key]
        run("paytermctl", "vault", "init", *at)
        parts = json.loads(run("payterm-acquirer", "tmk", "--json", "--account", ACCOUNT))
        lines = "\n".join(parts[k] for k in ("component_1", "kcv_1", "component_2", "kcv_2", "kcv"))
        run("paytermctl", "vault", "tmk-components", *at, "--account", ACCOUNT, stdin=lines + "\n")

    def _in_service(self):
        """Signed in, so that a test's first message is its own."""
        until = time.monotonic() + READY
        while not all(t["signed_in"] for t in self._ctl_json("totals")):
            if time.monotonic() > until:
                raise NotReady(f"the terminal does not sign in:\n{self.log()}")
            time.sleep(0.02)

    def _page(self):
        """Which page the screen shows: `idle`, `present`, `pin`, `wait`, `result` ..."""
        return self._ctl_json("info")["screen"]["page"]
