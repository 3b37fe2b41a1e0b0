#!/usr/bin/env python3
"""Judges what the test card and its issuer compute, without our code: by pyemv, and by psec where pyemv has
nothing (PBOC 3.0's session keys).

    check.py PROGRAM [COUNT]    PROGRAM is the example emv_vectors of crates/simulator; COUNT inputs (1,000)
"""
import argparse
import json
import subprocess
import sys

from psec import des
from pyemv import ac, kd, sm

DERIVED = ("session", "ac", "arpc", "script_session", "mac", "enciphered")


class Wrong(Exception):
    pass


def odd(key):
    """The key with odd parity."""
    return bytes(b if b.bit_count() % 2 else b ^ 1 for b in key)


def pboc(card, atc):
    """PBOC 3.0: the counter behind six zeros, then its complement, each enciphered."""
    left, right = bytes(6) + atc, bytes(6) + bytes(b ^ 0xFF for b in atc)
    return odd(des.encrypt_tdes_ecb(card, left) + des.encrypt_tdes_ecb(card, right))


def common(card, r):
    return kd.derive_common_sk(card, r)


def derived(case, name, card):
    """What follows from the card's key by one derivation."""
    atc, data, script = (bytes.fromhex(case[n]) for n in ("atc", "data", "script"))
    session = common(card, atc + bytes(6)) if name == "common" else pboc(card, atc)
    cryptogram = ac.generate_ac(session, data, ac.PaddingType.EMV)
    own = common(card, cryptogram) if name == "common" else session
    told = bytes.fromhex(case["header"]) + atc + cryptogram + script
    return {
        "session": session,
        "ac": cryptogram,
        "arpc": ac.generate_arpc_1(session, cryptogram, bytes.fromhex(case["code"])),
        "script_session": own,
        "mac": sm.generate_command_mac(own, told, 4),
        "enciphered": sm.encrypt_command_data(own, script, sm.EncryptionType.EMV),
    }


def judge(case):
    """Computes a case again."""
    card = kd.derive_icc_mk_a(bytes.fromhex(case["master"]), case["pan"], case["psn"])
    found = {"card": (case["card"], card)}
    for name in ("common", "pboc"):
        theirs = derived(case, name, card)
        found |= {f"{name}.{what}": (case[name][what], theirs[what]) for what in DERIVED}
    for what, (ours, theirs) in found.items():
        if ours != theirs.hex():
            raise Wrong(f"{what}: {ours}, must be {theirs.hex()}")


def refuses(case):
    """The checker itself must notice a flipped bit, whatever it is in."""
    def flipped(text):
        return format(int(text[0], 16) ^ 1, "x") + text[1:]

    spoilt = [case | {"card": flipped(case["card"])}]
    for name in ("common", "pboc"):
        spoilt += [case | {name: case[name] | {what: flipped(case[name][what])}} for what in DERIVED]
    for bad in spoilt:
        try:
            judge(bad)
        except Wrong:
            continue
        raise Wrong("a flipped bit was not noticed")


def main():
    args = argparse.ArgumentParser(description="Judges cryptograms, keys and scripts with pyemv and psec.")
    args.add_argument("program", help="emv_vectors")
    args.add_argument("count", nargs="?", type=int, default=1_000)
    args = args.parse_args()
    seen = 0
    with subprocess.Popen([args.program, str(args.count)], stdout=subprocess.PIPE, text=True) as made:
        for line in made.stdout:
            case = json.loads(line)
            try:
                judge(case)
                if seen == 0:
                    refuses(case)
            except Wrong as e:
                print(f"input {seen}: {e}\n{line}", end="")
                made.kill()
                return 1
            seen += 1
    print(f"{seen} inputs: card keys, session keys, cryptograms and scripts are equal (pyemv, psec)")
    return 0 if made.returncode == 0 and seen == args.count > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
