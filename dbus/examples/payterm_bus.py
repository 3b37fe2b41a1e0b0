"""What both Python examples share: the bus, one call, and plain values."""

import os

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.constants import BusType
from dbus_fast.errors import AuthError

NAME = "org.payterm.Terminal1"
ROOT = "/org/payterm/Terminal1"
MANAGER = NAME + ".Manager"


# The bus's own words for a terminal that is not there or went away during the call.
ERRORS = ("NoReply", "ServiceUnknown", "NameHasNoOwner", "Disconnected")
GONE = {"org.freedesktop.DBus.Error." + e for e in ERRORS}
# Help of the option --address.
ADDRESS = "D-Bus address; default: PAYTERM_BUS, the bus of the environment, the system bus"


class Fault(Exception):
    """An error of a call: its name, which decides, a text for people, and data. It never says what became of
    the money."""

    def __init__(self, name, text, data):
        super().__init__(f"{name}: {text}")
        self.name = name
        self.data = data


def unreachable(cause):
    """The fault that no terminal can tell. Connect again and make the same call with the same id."""
    return Fault("Unreachable", cause, {"fault": "Unreachable", "cause": cause})


async def connect(address=None):
    """`address`, or PAYTERM_BUS as paytermctl has it (`system`, `session` or an address), or the session bus
    when DBUS_SESSION_BUS_ADDRESS is set and the system bus is not, or the system bus."""
    chosen = os.environ.get("PAYTERM_BUS") or None
    session = "DBUS_SESSION_BUS_ADDRESS" in os.environ and "DBUS_SYSTEM_BUS_ADDRESS" not in os.environ
    if address is None and chosen in ("system", "session"):
        session = chosen == "session"
    elif address is None:
        address = chosen
    try:
        bus = MessageBus(bus_address=address, bus_type=BusType.SESSION if session else BusType.SYSTEM)
        return await bus.connect()
    except (OSError, EOFError, AuthError) as e:
        raise unreachable(str(e) or "the connection was lost") from e


async def call(bus, member, signature="", *body, name=NAME, path=ROOT, interface=MANAGER):
    try:
        if not bus.connected:
            raise ConnectionError("the connection was lost")
        to = {"destination": name, "path": path, "interface": interface, "member": member}
        reply = await bus.call(Message(**to, signature=signature, body=list(body)))
        if reply is None:  # what dbus-fast answers when the connection ends in an orderly way
            raise ConnectionError("the connection was lost")
    except (OSError, EOFError) as e:
        raise unreachable(str(e) or "the connection was lost") from e
    if reply.message_type == MessageType.ERROR:
        text = str(reply.body[0]) if reply.body else reply.error_name
        if reply.error_name in GONE:
            raise unreachable(text)
        # The name decides; what else there is to know, the terminal tells when it is asked.
        ours = reply.error_name.startswith(NAME + ".Error.")
        data = await call(bus, "LastFault", name=name) if ours and member != "LastFault" else {}
        raise Fault(reply.error_name.rsplit(".", 1)[-1], text, data)
    return plain(reply.body[0]) if reply.body else None


def plain(value):
    """Variants become what they hold."""
    if isinstance(value, Variant):
        return plain(value.value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def request(**fields):
    """A request as a{sv}: texts and booleans. An amount is a text such as "12.34", never a float."""
    return {k: Variant("b" if isinstance(v, bool) else "s", v) for k, v in fields.items() if v is not None}


def is_final(outcome):
    return outcome["status"] not in ("running", "unknown")
