#!/usr/bin/env python3
"""Loses its client on purpose between Start and the answer; a new client recalls the outcome.

The request says cancel_on_caller_lost = false, so the terminal goes on when its caller is gone. With --kill
the first client is a process of its own that dies by SIGKILL; without, its connection is closed. The last
line is the outcome as JSON with "recovered": true; exit code 0 when the outcome is final, 1 on a refusal or
when the terminal is not reached, 3 when it is not known in time.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import uuid

from payterm_bus import ADDRESS, NAME, Fault, call, connect, is_final, request


async def start_and_vanish(args, name):
    bus = await connect(args.address)
    money = {"amount": args.amount, "currency": args.currency}
    sale = request(id=args.order, kind="sale", **money, cancel_on_caller_lost=False)
    path = await call(bus, "Start", "a{sv}", sale, name=name)
    waiting = asyncio.ensure_future(call(bus, "Wait", "o", path, name=name))
    waiting.add_done_callback(lambda t: t.cancelled() or t.exception())
    await asyncio.sleep(0.05)
    print(f"started {path}; the client is lost now", flush=True)
    if args.role == "victim":
        os.kill(os.getpid(), signal.SIGKILL)
    bus.disconnect()


async def main():
    parser = argparse.ArgumentParser(description="lose a client, recall the outcome")
    parser.add_argument("--order", default="lost-" + uuid.uuid4().hex[:12])
    parser.add_argument("--amount", default="12.34")
    parser.add_argument("--currency", default="CNY")
    parser.add_argument("--address", help=ADDRESS)
    parser.add_argument("--lane", default="")
    parser.add_argument("--kill", action="store_true", help="the first client dies by SIGKILL")
    parser.add_argument("--within", type=float, default=180.0, help="seconds to wait for the outcome")
    parser.add_argument("--role", default="both", choices=["both", "victim"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    name = f"{NAME}.{args.lane}" if args.lane else NAME
    try:
        if args.role == "victim":
            return await start_and_vanish(args, name)
        if args.kill:
            again = [sys.executable, *sys.argv, "--order", args.order, "--role", "victim"]
            victim = await asyncio.create_subprocess_exec(*again)
            if await victim.wait() != -signal.SIGKILL:
                print("the first client failed", file=sys.stderr)
                return 1
        else:
            await start_and_vanish(args, name)

        bus = await connect(args.address)
        recalled = await call(bus, "Recall", "s", args.order, name=name)
        outcome = recalled["outcome"]
        print(f"recalled: {outcome['status']} ({recalled['phase']})", flush=True)
        if not is_final(outcome):
            # The path is made from app and id; its escape is _xx for every byte that is no letter or digit.
            def escaped(text):
                return "".join(c if c.isalnum() and c.isascii() else f"_{ord(c):02x}" for c in text)

            own = f"{escaped(outcome['app'])}/{escaped(outcome['id'])}"
            path = "/org/payterm/Terminal1/transaction/" + own
            try:
                outcome = await asyncio.wait_for(call(bus, "WaitFinal", "o", path, name=name), args.within)
            except asyncio.TimeoutError:
                pass
        print(json.dumps({**outcome, "recovered": True}, ensure_ascii=False))
        return 0 if is_final(outcome) else 3
    except Fault as fault:
        print(fault, file=sys.stderr)
        print(json.dumps(fault.data, ensure_ascii=False))
        return 1


sys.exit(asyncio.run(main()))
