#!/usr/bin/env python3
"""Judges frames without our codec: pyiso8583 builds and reads them, psec checks MAC and PIN block.

    check.py                  every golden frame beside this file
    check.py --captured DIR   frames of a running daemon, one JSON a file:
                              {"profile","direction","hex","mak","pik"?,"pan"?,"pin"?}

The tables below are written from the protocol paper, not from the profiles that the program reads.
"""
import argparse
import copy
import json
import pathlib
import sys

import iso8583
from iso8583.specs import default_ascii
from psec import des, mac, pinblock


class Wrong(Exception):
    pass


def need(ok, why):
    if not ok:
        raise Wrong(why)


# --- field tables -------------------------------------------------------------------------------------------
# (kind, length indicator digits, length): n digits, z track, a text, b bytes, g GBK text; "r" = odd digits at
# the right.
UNIONPAY = {
    2: ("n", 2, 19), 3: ("n", 0, 6), 4: ("n", 0, 12), 11: ("n", 0, 6), 12: ("n", 0, 6), 13: ("n", 0, 4),
    14: ("n", 0, 4),
    15: ("n", 0, 4), 22: ("n", 0, 3), 23: ("nr", 0, 3), 25: ("n", 0, 2), 26: ("n", 0, 2), 32: ("n", 2, 11),
    35: ("z", 2, 37),
    36: ("z", 3, 104), 37: ("a", 0, 12), 38: ("a", 0, 6), 39: ("a", 0, 2), 41: ("a", 0, 8), 42: ("a", 0, 15),
    43: ("g", 0, 40),
    44: ("a", 2, 25), 48: ("n", 3, 322), 49: ("a", 0, 3), 52: ("b", 0, 8), 53: ("n", 0, 16), 54: ("a", 3, 20),
    55: ("b", 3, 255),
    58: ("a", 3, 100), 59: ("a", 3, 600), 60: ("n", 3, 19), 61: ("n", 3, 29), 62: ("b", 3, 512),
    63: ("g", 3, 163), 64: ("b", 0, 8),
}
DEMO = {
    2: ("n", 2, 19), 3: ("n", 0, 6), 4: ("n", 0, 12), 11: ("n", 0, 6), 12: ("n", 0, 6), 13: ("n", 0, 4),
    14: ("n", 0, 4),
    15: ("n", 0, 4), 22: ("n", 0, 3), 23: ("n", 0, 3), 25: ("n", 0, 2), 26: ("n", 0, 2), 32: ("n", 2, 11),
    35: ("z", 2, 37),
    37: ("a", 0, 12), 38: ("a", 0, 6), 39: ("a", 0, 2), 41: ("a", 0, 8), 42: ("a", 0, 15), 44: ("a", 2, 25),
    48: ("a", 3, 64),
    49: ("n", 0, 3), 52: ("b", 0, 8), 53: ("n", 0, 16), 54: ("a", 3, 20), 55: ("b", 3, 255),
    57: ("n", 3, 322), 60: ("n", 3, 11),
    61: ("n", 3, 16), 62: ("b", 3, 512),
    63: ("g", 3, 75), 64: ("b", 0, 8),
}


def spec_of(table, packed):
    """A pyiso8583 specification. `packed`: digits and lengths in BCD, binary bitmap; else all in ASCII."""
    spec = copy.deepcopy(default_ascii)
    spec["h"].update(max_len=0)
    if packed:
        spec["t"].update(data_enc="b", len_enc="bcd", len_type=0, max_len=2)
        spec["p"].update(data_enc="b", len_enc="bcd", len_type=0, max_len=8)
    for number in [str(n) for n in range(2, 129)]:
        row = table.get(int(number))
        if row is None:
            spec[number] = {"data_enc": "ascii", "len_enc": "ascii", "len_type": 0, "max_len": 0}
            spec[number]["desc"] = "not used"
            continue
        kind, digits, length = row
        field = {"len_enc": "bcd" if packed else "ascii", "max_len": length, "desc": kind,
                 "len_type": (digits + 1) // 2 if packed else digits}
        if kind[0] in "nz" and packed:
            field.update(data_enc="b", len_count="nibbles")
            field["left_pad" if kind == "nr" else "right_pad"] = "0"
        elif kind in "bg":
            field.update(data_enc="b")
        else:
            field.update(data_enc="ascii")
        spec[number] = field
    return spec


class Profile:
    def __init__(self, table, packed, mac_mtis):
        self.table, self.packed, self.mac_mtis = table, packed, mac_mtis
        self.spec = spec_of(table, packed)

    def to_iso(self, number, value):
        """Golden form -> pyiso8583's: a track's '=' is the nibble D where digits are packed."""
        kind = self.table[int(number)][0]
        return value.replace("=", "D") if kind == "z" and self.packed else value

    def from_iso(self, number, value):
        kind = self.table[int(number)][0]
        return value.replace("D", "=") if kind == "z" else value


PROFILES = {
    "unionpay": Profile(
        UNIONPAY, True, {"0100", "0110", "0200", "0210", "0220", "0230", "0400", "0410", "0620", "0630"}
    ),
    "demo-x919": Profile(
        DEMO, False, {"0100", "0110", "0200", "0210", "0220", "0230", "0420", "0430", "0620", "0630"}
    ),
}


# --- frame --------------------------------------------------------------------------------------------------
def split(name, frame):
    """(tpdu, header, message) of a frame."""
    if name == "demo-x919":
        need(frame[:4].isdigit() and int(frame[:4]) == len(frame) - 4, "length prefix")
        return None, None, frame[4:]
    need(int.from_bytes(frame[:2], "big") == len(frame) - 2, "length prefix")
    tpdu, header = frame[2:7], frame[7:13].hex()
    need(tpdu[0] == 0x60, "TPDU id")
    need(header.isdigit() and header[4] in "01" and header[:2] in ("60", "61"), "header")
    return tpdu, header, frame[13:]


def join(name, tpdu, header, message):
    if name == "demo-x919":
        return b"%04d" % len(message) + message
    body = bytes.fromhex(tpdu) + bytes.fromhex(header) + message
    return len(body).to_bytes(2, "big") + body


# --- cryptography -------------------------------------------------------------------------------------------
def encrypt(key, block):
    """One block; a single DES key is the triple key of three equal parts."""
    return des.encrypt_tdes_ecb(key * 3 if len(key) == 8 else key, block)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def make_mac(name, key, data):
    if name == "demo-x919":
        return mac.generate_retail_mac(key[:8], key[8:], mac.pad_iso_1(data), 1, 8)
    data += bytes(-len(data) % 8)
    r = bytes(8)
    for i in range(0, len(data), 8):
        r = xor(r, data[i:i + 8])
    text = r.hex().upper().encode()
    out = encrypt(key, xor(encrypt(key, text[:8]), text[8:]))
    return out.hex().upper()[:8].encode()


# --- judgement ----------------------------------------------------------------------------------------------
def judge(case):
    """Checks one frame; gives the decoded document."""
    name = case["profile"]
    need(name in PROFILES, f"unknown profile {name}")
    profile = PROFILES[name]
    frame = bytes.fromhex(case["hex"])
    tpdu, header, message = split(name, frame)
    decoded, _ = iso8583.decode(message, profile.spec)
    # Decoding and building again is the identity: no hidden bytes, one form only.
    again, _ = iso8583.encode(dict(decoded), profile.spec)
    need(bytes(again) == message, "pyiso8583 builds other bytes from the decoded fields")
    mti = decoded["t"]
    fields = {n: profile.from_iso(n, v) for n, v in decoded.items() if n.isdigit() and n != "1"}

    first = mti[:3] + str(int(mti[3]) & ~1)
    need(("64" in fields) == (first in profile.mac_mtis) or case["direction"] == "received", f"F64 in {mti}")
    if "64" in fields:
        need(case.get("mak"), "F64 but no MAK to check it with")
        want = make_mac(name, bytes.fromhex(case["mak"]), message[:-8])
        need(message[-8:] == want, f"MAC {message[-8:].hex()}, psec says {want.hex()}")

    if "52" in fields and case.get("pin"):
        clear = des.decrypt_tdes_ecb(bytes.fromhex(case["pik"]), bytes.fromhex(fields["52"]))
        need(pinblock.decode_pinblock_iso_0(clear, case["pan"]) == case["pin"], "PIN block")

    if "fields" in case:
        # The golden frame is built from its fields alone.
        need(mti == case["mti"], "MTI")
        need(fields == case["fields"], f"fields differ: {diff(fields, case['fields'])}")
        doc = {"t": case["mti"]} | {n: profile.to_iso(n, v) for n, v in case["fields"].items()}
        if "64" in doc:
            doc["64"] = "00" * 8
        built, _ = iso8583.encode(doc, profile.spec)
        if "64" in doc:
            built[-8:] = make_mac(name, bytes.fromhex(case["mak"]), bytes(built[:-8]))
        if tpdu is not None:
            need((case["tpdu"], case["header"]) == (tpdu.hex().upper(), header), "TPDU or header")
        need(join(name, case.get("tpdu"), case.get("header"), bytes(built)) == frame, "built frame differs")
    return decoded


def diff(a, b):
    return sorted(n for n in a.keys() | b.keys() if a.get(n) != b.get(n))


def vectors():
    """The published vectors (host-protocol sections 4 and 5) and, as a check of the checker, wrong input."""
    data = bytes.fromhex("0200302004C020C09811") + bytes(range(0x3C))
    pik, mak = bytes.fromhex("807A23AD32B36D457AE91FDF927570EA"), bytes.fromhex("5BB5C72CD00B7338")
    need(make_mac("unionpay", mak, data) == b"E3D5BB2E", "MAC vector, single length")
    need(make_mac("unionpay", pik, data) == b"7A152A49", "MAC vector, double length")
    tmk = bytes.fromhex("CA5D92598DCA48CE8A4C76361A9269E9")
    f62 = bytes.fromhex("6701EAD6A9AD51E51AA406E2C27FCFA98D0A74B8B651F9E9BACE9AE10000000000000000AB7153CA")
    for name, key, sealed, check in [("PIK", pik, f62[:16], f62[16:20]), ("MAK", mak, f62[20:28], f62[36:])]:
        opened = des.decrypt_tdes_ecb(tmk, sealed) == key
        need(opened and encrypt(key, bytes(8))[:4] == check, f"{name} vector")


def refuses(case):
    """The checker itself must notice a flipped bit in this frame."""
    frame = bytearray.fromhex(case["hex"])
    for at in (len(frame) // 2, len(frame) - 1):
        frame[at] ^= 1
        try:
            judge(case | {"hex": frame.hex()})
        except (Wrong, iso8583.DecodeError, iso8583.EncodeError, ValueError):
            frame[at] ^= 1
            continue
        raise Wrong(f"a flipped bit in byte {at} was not noticed")


def main():
    args = argparse.ArgumentParser(description="Judges ISO 8583 frames with pyiso8583 and psec.")
    args.add_argument("--captured", type=pathlib.Path, metavar="DIR", help="frames of a running daemon")
    args = args.parse_args()
    files = sorted((args.captured or pathlib.Path(__file__).parent).glob("*.json"))
    failed = 0
    vectors()
    for file in files:
        try:
            case = json.loads(file.read_text())
            judge(case)
            if not args.captured:
                refuses(case)
        except (Wrong, iso8583.DecodeError, iso8583.EncodeError, ValueError, KeyError) as e:
            failed += 1
            print(f"{file.name}: {type(e).__name__}: {e}")
    print(f"{len(files)} frames, {failed} wrong (pyiso8583, psec)")
    return 1 if failed or not files else 0


if __name__ == "__main__":
    sys.exit(main())
