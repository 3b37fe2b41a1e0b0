#!/usr/bin/env python3
"""A small shop app: takes one sale under its own order id, shows the progress, prints the outcome.

    pip install -r requirements.txt
    ./pos.py --order order-17 --amount 12.34 [--currency CNY] [--address ADDR] [--lane LANE]

The last line is the outcome as JSON. Exit code: 0 the sale ended (look at "status"), 1 the terminal refused
the call or was not reached (no outcome: when it was not reached, run it again with the same order id), 3 the
result is still unknown: do not take the money again, run it again with the same order id.
"""

import argparse
import asyncio
import json
import sys
import uuid

from payterm_bus import ADDRESS, MANAGER, NAME, Fault, call, connect, is_final, plain, request


async def main():
    args = argparse.ArgumentParser(description="take one sale")
    args.add_argument("--order", default="order-" + uuid.uuid4().hex[:12])
    args.add_argument("--amount", default="12.34")
    args.add_argument("--currency", default="CNY")
    args.add_argument("--note")
    args.add_argument("--address", help=ADDRESS)
    args.add_argument("--lane", default="")
    args = args.parse_args()
    name = f"{NAME}.{args.lane}" if args.lane else NAME
    bus = None

    def told(message):
        # The terminal sends notices to this connection alone; on a bus anybody could, so they are only shown.
        if message.interface == MANAGER and message.member == "Notice":
            notice = plain(message.body[0])
            if notice.get("notice") == "phase" and notice["key"]["id"] == args.order:
                print(f"{notice['phase']}: {notice['screen']['page']}", flush=True)

    try:
        bus = await connect(args.address)
        bus.add_message_handler(told)
        await call(bus, "Subscribe", name=name)
        sale = request(id=args.order, kind="sale", amount=args.amount, currency=args.currency, note=args.note)
        # Start is safe to repeat: the same id with the same content is the same transaction, for ever.
        path = await call(bus, "Start", "a{sv}", sale, name=name)
        print(f"started: {path}", flush=True)
        outcome = await call(bus, "Wait", "o", path, name=name)
        # Signals come behind the answers: what is told of the way there is late now.
        bus.remove_message_handler(told)
        reason = outcome.get("reason", {})
        print(outcome["status"], reason.get("text", ""), reason.get("next", ""), flush=True)
        print(json.dumps(outcome, ensure_ascii=False))
        return 0 if is_final(outcome) else 3
    except Fault as fault:
        print(fault, file=sys.stderr)
        print(json.dumps(fault.data, ensure_ascii=False))
        return 1
    finally:
        if bus:
            bus.disconnect()


sys.exit(asyncio.run(main()))
