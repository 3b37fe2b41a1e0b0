"""The fixtures, and what is shown of the terminal when a test fails."""

import pytest

from .stack import Payterm

_RUNNING = pytest.StashKey()


@pytest.fixture
def payterm_options():
    """Overridden by a test module: keyword arguments of `Payterm`, such as `{"reply_timeout_ms": 5000}`."""
    return {}


@pytest.fixture
def payterm(request, payterm_options, monkeypatch):
    """A terminal in service with an acquirer of its own; an app finds it at DBUS_SYSTEM_BUS_ADDRESS."""
    with Payterm(**payterm_options) as running:
        request.node.stash[_RUNNING] = running
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    running = item.stash.get(_RUNNING, None)
    if report.when == "call" and report.failed and running is not None:
        report.sections += running.story()
