#!/usr/bin/env python3
"""A small acquirer that shares no line with our Rust: docs/host-protocol.md, pyiso8583 and psec.

    acquirer.py --tmk HEX --tid TID --mid MID [--mishaps SEED]

It listens on a free port of loopback and prints it as the first line of its output, as JSON. Then a line of
input is a command, and its answer a line of JSON:

    ledger         {"entries": [...], "batches": {...}, "batch": n, "complaints": [...], "mishaps": {...}}
    mishap NAME    the next message has this mishap
    calm           no more random mishaps

What a terminal does against the page is a complaint.
"""
import argparse
import json
import pathlib
import random
import socketserver
import sys
import threading
import time
from dataclasses import asdict, dataclass

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "frames"))
import iso8583  # noqa: E402
from check import PROFILES, encrypt, make_mac  # noqa: E402
from psec import des, pinblock  # noqa: E402

SPEC = PROFILES["unionpay"].spec
CHINA = 8 * 3600
LATE = 2.0  # seconds; longer than the terminal under test waits for a reply
CARDS = {"6212345678900000003": ("3012", "123456"), "6212345678900000805": ("3012", "123456")}
# Section 3: each request has these fields; those of `may` when they apply.
SHAPE = {
    "sale": ("3 4 11 22 25 41 42 49 60 64", "2 14 23 26 35 36 52 53"),
    "sale-code": ("3 4 11 22 25 41 42 49 59 60 64", ""),
    "balance": ("3 11 22 25 41 42 49 60 64", "2 14 23 26 35 36 52 53"),
    "void": ("3 4 11 22 25 37 41 42 49 60 61 64", "2 14 23 26 35 36 38 52 53"),
    "refund": ("3 4 11 22 25 37 41 42 49 60 61 63 64", "2 14 35 38 53"),
    "query": ("3 11 22 25 41 42 60 61 64", "4 37 49"),
    "reversal": ("3 4 11 22 25 39 41 42 49 60 64", "2 14 23 38 61"),
    "settlement": ("11 41 42 48 49 60 63", ""),
    "upload": ("11 41 42 48 60", ""),
    "sign-in": ("11 41 42 60 62 63", ""),
    "network": ("11 41 42 60", "62"),
}
KINDS = {  # MTI, F3, 60.1
    ("0200", "000000", "22"): "sale", ("0200", "200000", "23"): "void", ("0220", "200000", "25"): "refund",
    ("0200", "310000", "01"): "balance",
}
MISHAPS = ["drop_request", "drop_reply", "close", "close_before", "late", "bad_mac", "no_mac", "wrong_stan",
           "twice", "split", "garbage"]


@dataclass
class Entry:
    """One financial request that was executed."""
    kind: str
    batch: int
    stan: int
    amount: int
    pan: str
    rrn: str
    auth: str
    date: str
    f3: str
    foreign: bool = False
    reversed: bool = False
    settled: bool = False
    of: str = ""  # RRN of the original
    taken: int = 0  # refunded or voided of it


class Refused(Exception):
    """A response code that is no success."""


class Bank:
    def __init__(self, tmk, tid, mid, seed):
        self.tmk, self.tid, self.mid = tmk, tid, mid
        self.rng = random.Random(f"keys {seed}")
        self.pik = self.mak = None
        self.batch, self.count = 1, 0
        self.entries, self.barred, self.complaints, self.batches = [], set(), [], {}
        self.seen = set()  # (batch, STAN) of authorisations

    # --- what section 3 says of a message -------------------------------------------------------------------
    def kind_of(self, m):
        mti, f60 = m["t"], m.get("60", "")
        if mti == "0400":
            return "reversal"
        if mti in ("0500", "0320"):
            return "settlement" if mti == "0500" else "upload"
        if mti in ("0800", "0820"):
            return "sign-in" if mti == "0800" and f60[8:11] in ("001", "003", "004") else "network"
        kind = KINDS.get((mti, m.get("3"), f60[:2]))
        if kind == "balance" and "61" in m:
            return "query"
        return "sale-code" if kind == "sale" and "59" in m else kind

    def shape(self, kind, m):
        must, may = ({*names.split()} for names in SHAPE[kind])
        have = {n for n in m if n.isdigit() and n != "1"}
        if kind == "void" and m["22"].startswith("03"):
            may |= {"59"}
        if not must <= have <= must | may:
            self.complain(f"{kind}: lacks {must - have}, should not have {have - must - may}")
        if "52" in have and ("26" not in have or m["53"][:2] != "26"):
            self.complain(f"{kind}: a PIN without F26, or F53 {m.get('53')}")
        if m["41"] != self.tid or m["42"] != self.mid:
            self.complain(f"{kind}: {m['41']} {m['42']}")

    def complain(self, text):
        self.complaints.append(text)

    # --- answers --------------------------------------------------------------------------------------------
    def answer(self, m, raw):
        """The reply's fields for a request."""
        kind = self.kind_of(m)
        now = time.gmtime(time.time() + CHINA)
        reply = {"t": m["t"][:2] + str(int(m["t"][2]) + 1) + "0"}
        reply |= {n: m[n] for n in ("3", "4", "11", "25", "41", "42", "49", "60") if n in m}
        reply |= {"12": time.strftime("%H%M%S", now), "13": time.strftime("%m%d", now), "32": "01020000"}
        self.count += 1
        reply["37"] = f"{reply['13']}{self.count:08d}"
        if kind is None:
            self.complain(f"{m['t']} {m.get('3')} {m.get('60')}: not a message of the page")
            return reply | {"39": "12"}
        self.shape(kind, m)
        try:
            if "64" in m:
                if self.mak is None or raw[-8:] != make_mac("unionpay", self.mak, raw[:-8]):
                    raise Refused("A0")
            reply |= getattr(self, "do_" + kind.replace("-", "_"))(m, reply) or {}
            reply.setdefault("39", "00")
        except Refused as code:
            reply["39"] = str(code)
        return reply

    def do_sign_in(self, m, reply):
        if m["60"][8:11] != "003":
            self.complain(f"sign-in {m['60']}: the profile has double-length keys")
        self.pik, mak = self.rng.randbytes(16), self.rng.randbytes(8)
        self.mak = mak
        seal = lambda key: encrypt(self.tmk, key)  # noqa: E731
        f62 = b"".join(encrypt(self.tmk, self.pik[i:i + 8]) for i in (0, 8))
        f62 += encrypt(self.pik, bytes(8))[:4] + seal(mak) + bytes(8) + encrypt(mak, bytes(8))[:4]
        return {"60": f"00{self.batch:06d}{m['60'][8:11]}", "62": f62.hex().upper()}

    def do_network(self, m, _):
        return None

    def card_of(self, m):
        track = m.get("35", "").replace("=", "D")
        pan = track.split("D")[0] or m.get("2", "")
        if pan not in CARDS:
            raise Refused("14")
        expiry, pin = CARDS[pan]
        if "D" in track and track.split("D")[1][:4] != expiry:
            raise Refused("54")
        if "52" in m:
            clear = des.decrypt_tdes_ecb(self.pik, bytes.fromhex(m["52"]))
            if pinblock.decode_pinblock_iso_0(clear, pan) != pin:
                raise Refused("55")
        return pan

    def book(self, m, reply, kind, pan, of=None):
        here = (int(m["60"][2:8]), int(m["11"]))
        if here in self.barred:
            raise Refused("12")  # its reversal has been here before it
        if here in self.seen:
            raise Refused("94")
        if here[0] != self.batch:
            self.complain(f"{kind}: batch {here[0]}, it is {self.batch}")
        self.seen.add(here)
        entry = Entry(kind, *here, int(m["4"]), pan, reply["37"], f"{self.count:06d}", reply["13"], m["3"],
                      of=of.rrn if of else "")
        self.entries.append(entry)
        return {"38": entry.auth, "44": "01990000   01020000   ",
                "63": ("CUP" + "TEST".ljust(60)).encode().hex().upper()}

    def do_sale(self, m, reply):
        return self.book(m, reply, "sale", self.card_of(m))

    def do_sale_code(self, m, reply):
        code = m["59"]
        if not (code.startswith("A3") and code[2:5].isdigit() and len(code) == 5 + int(code[2:5])):
            self.complain("sale-code: F59")
        return self.book(m, reply, "sale", code[5:])

    def do_balance(self, m, _):
        self.card_of(m)
        return {"54": "0201156C000001000000"}

    def do_query(self, m, _):
        raise Refused("25")

    def original(self, m):
        """The entry that a void or refund names; all that is given must agree."""
        f61 = m["61"]
        for e in self.entries:
            if e.rrn == m["37"] and not e.reversed and (e.batch, e.stan) == (int(f61[:6]), int(f61[6:12])):
                if m.get("38", e.auth) != e.auth or (f61[12:16] or e.date) != e.date:
                    self.complain(f"{m['t']}: F38 {m.get('38')} or F61 {f61} are not the original's")
                return e
        raise Refused("25")

    def do_void(self, m, reply):
        sale = self.original(m)
        if sale.kind != "sale" or sale.taken or sale.settled or int(m["4"]) != sale.amount:
            raise Refused("12")
        booked = self.book(m, reply, "void", sale.pan, sale)
        sale.taken = sale.amount
        return booked

    def do_refund(self, m, reply):
        sale = self.original(m)
        if sale.kind != "sale" or sale.taken + int(m["4"]) > sale.amount:
            raise Refused("64")
        booked = self.book(m, reply, "refund", sale.pan, sale)
        sale.taken += int(m["4"])
        return booked

    def do_reversal(self, m, _):
        here = (int(m["60"][2:8]), int(m["11"]))
        if m["39"] not in ("98", "A0", "06", "96"):
            self.complain(f"reversal: F39 {m['39']}")
        if "35" in m or "52" in m or "59" in m:
            self.complain("reversal: a track, a PIN or a code")
        for e in self.entries:
            if (e.batch, e.stan) != here:
                continue
            if e.amount != int(m["4"]) or e.f3 != m["3"]:
                self.complain(f"reversal of {here}: F3 {m['3']} F4 {m['4']}")
            if e.kind == "refund":
                self.complain("a refund is never reversed")
            if e.settled or (e.taken and not e.reversed):
                raise Refused("12")
            if not e.reversed and e.kind == "void":
                next(o for o in self.entries if o.rrn == e.of).taken = 0
            e.reversed = True
            return None
        self.barred.add(here)
        raise Refused("25")

    def totals(self, batch):
        sides = {"debit": [0, 0], "credit": [0, 0]}
        for e in self.entries:
            if e.batch == batch and not e.reversed:
                side = sides["debit" if e.kind == "sale" else "credit"]
                side[0] += e.amount
                side[1] += 1
        return sides["debit"] + sides["credit"]

    def do_settlement(self, m, _):
        f48, batch = m["48"], int(m["60"][2:8])
        if len(f48) != 62 or f48[30] != "0" or f48[61] != "0":
            self.complain(f"settlement: F48 {f48}")
        theirs = [int(f48[a:b]) for a, b in ((0, 12), (12, 15), (15, 27), (27, 30))]
        closed = self.batches.get(batch)
        if closed is None:
            if batch != self.batch:
                raise Refused("77")
            closed = {"theirs": theirs, "ours": self.totals(batch), "records": [], "ended": ""}
            self.batches[batch] = closed
        elif closed["theirs"] != theirs:
            self.complain(f"settlement {batch}: {closed['theirs']}, then {theirs}")
        result = "1" if closed["ours"] == theirs else "2"
        return {"48": f48[:30] + result + f48[31:61] + "1"}

    def do_upload(self, m, _):
        batch, code = int(m["60"][2:8]), m["60"][8:11]
        closed = self.batches.get(batch)
        if closed is None:
            raise Refused("77")
        if code in ("207", "202"):
            if (code == "207") != (closed["ours"] == closed["theirs"]):
                self.complain(f"upload: {code} does not fit the result")
            closed["ended"] = code
            if batch == self.batch:
                for e in self.entries:
                    e.settled |= e.batch == batch
                self.batch += 1
        else:
            count = int(m["48"][:2])
            closed["records"] += [m["48"][2 + 40 * n:42 + 40 * n] for n in range(count)]
        return None


class Line(socketserver.StreamRequestHandler):
    def handle(self):
        house = self.server.house
        while True:
            try:
                length = self.rfile.read(2)
                if len(length) < 2:
                    return
                body = self.rfile.read(int.from_bytes(length, "big"))
                if not body:  # section 1: a keep-alive
                    continue
                if not house.serve(body, self.wfile):
                    return
            except OSError:
                return


class House:
    """Bank and line: what mishaps befall a message, one after the other."""

    def __init__(self, bank, seed):
        self.bank, self.lock = bank, threading.Lock()
        self.rng = random.Random(f"mishaps {seed}") if seed is not None else None
        self.planned, self.happened = [], {}

    def draw(self):
        if self.planned:
            what = self.planned.pop(0)
        elif self.rng and self.rng.random() < 0.2:
            what = self.rng.choice(MISHAPS)
        else:
            return None
        self.happened[what] = self.happened.get(what, 0) + 1
        return what

    def serve(self, body, out):
        """Tells whether the line stays open."""
        with self.lock:
            what = self.draw()
            if what == "close_before":
                return False
            if what == "drop_request":
                return True
            tpdu, header, message = body[:5], body[5:11], body[11:]
            try:
                asked, _ = iso8583.decode(message, SPEC)
            except iso8583.DecodeError as e:
                self.bank.complain(f"not readable: {e}")
                return True
            reply = self.bank.answer(dict(asked), message)
            mak = self.bank.mak if "64" in asked and reply["39"] not in ("97", "77", "03", "A0") else None
            if what == "wrong_stan":
                reply["11"] = f"{(int(reply['11']) + 1) % 1_000_000:06d}"
            if mak and what != "no_mac":
                reply["64"] = "00" * 8
            built = bytearray(iso8583.encode(reply, SPEC)[0])
            if "64" in reply:
                built[-8:] = make_mac("unionpay", mak, bytes(built[:-8]))
                if what == "bad_mac":
                    built[-1] ^= 1
        frame = tpdu[:1] + tpdu[3:5] + tpdu[1:3] + header + bytes(built)
        frame = len(frame).to_bytes(2, "big") + frame
        if what == "drop_reply":
            return True
        if what == "close":
            return False
        if what == "late":
            time.sleep(LATE)
        if what == "garbage":
            out.write(b"\x00\x05\xff\xfe\xfd\xfc\xfb")
        if what == "split":
            out.write(frame[:7])
            out.flush()
            time.sleep(0.05)
            frame = frame[7:]
        out.write(frame * 2 if what == "twice" else frame)
        out.flush()
        return True

    def command(self, line):
        word, _, rest = line.strip().partition(" ")
        with self.lock:
            if word == "ledger":
                b = self.bank
                return {"entries": [asdict(e) for e in b.entries], "batches": b.batches, "batch": b.batch,
                        "complaints": b.complaints, "mishaps": self.happened}
            if word == "mishap" and rest in MISHAPS:
                self.planned.append(rest)
                return {"ok": True}
            if word == "calm":
                self.rng, self.planned = None, []
                return {"ok": True}
        return {"error": f"no such command: {line.strip()}"}


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


def main():
    args = argparse.ArgumentParser(description="An acquirer for tests, on pyiso8583 and psec.")
    args.add_argument("--tmk", required=True, type=bytes.fromhex)
    args.add_argument("--tid", required=True)
    args.add_argument("--mid", required=True)
    args.add_argument("--mishaps", type=int, metavar="SEED", help="random mishaps, one message in five")
    args = args.parse_args()
    house = House(Bank(args.tmk, args.tid, args.mid, args.mishaps), args.mishaps)
    with Server(("127.0.0.1", 0), Line) as server:
        server.house = house
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps({"address": f"127.0.0.1:{server.server_address[1]}"}), flush=True)
        for line in sys.stdin:
            print(json.dumps(house.command(line)), flush=True)


if __name__ == "__main__":
    main()
