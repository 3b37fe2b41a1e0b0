"""What both Python examples share: the bus, one call, and plain values."""

import json
import os

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.constants import BusType

NAME = "org.payterm.Terminal1"
ROOT = "/org/payterm/Terminal1"
MANAGER = NAME + ".Manager"


class Fault(Exception):
    """An error of the terminal: name, text for people, and the fault as data."""

    def __init__(self, reply):
        self.name = reply.error_name.rsplit(".", 1)[-1]
        body = list(reply.body) + ["", ""]
        super().__init__(f"{self.name}: {body[0]}")
        self.data = json.loads(body[1]) if body[1] else {}


async def connect(address=None):
    """`address`, or the session bus when DBUS_SESSION_BUS_ADDRESS is set and the system bus is not, or the system bus."""
    if address:
        return await MessageBus(bus_address=address).connect()
    session = "DBUS_SESSION_BUS_ADDRESS" in os.environ and "DBUS_SYSTEM_BUS_ADDRESS" not in os.environ
    return await MessageBus(bus_type=BusType.SESSION if session else BusType.SYSTEM).connect()


async def call(bus, member, signature="", *body, name=NAME, path=ROOT, interface=MANAGER):
    reply = await bus.call(
        Message(destination=name, path=path, interface=interface, member=member, signature=signature, body=list(body))
    )
    if reply.message_type == MessageType.ERROR:
        raise Fault(reply)
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
