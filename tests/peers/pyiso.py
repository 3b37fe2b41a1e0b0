"""Packs and unpacks message.json with pyiso8583; prints the bytes and one JSON object a line."""
import json
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "frames"))
import iso8583  # noqa: E402
from check import PROFILES  # noqa: E402

RUNS, TIMES = 21, 300
profile = PROFILES["unionpay"]
data = json.loads((pathlib.Path(__file__).parent / "message.json").read_text())
doc = {"t": data["mti"]} | {n: profile.to_iso(n, v) for n, v in data["fields"].items()}


def pack():
    return iso8583.encode(dict(doc), profile.spec)[0]


packed = bytes(pack())


def unpack():
    decoded, _ = iso8583.decode(packed, profile.spec)
    return [decoded[n] for n in doc]


def median(f):
    runs = []
    for _ in range(RUNS):
        start = time.perf_counter_ns()
        for _ in range(TIMES):
            f()
        runs.append((time.perf_counter_ns() - start) / TIMES)
    return statistics.median(runs)


print(packed.hex().upper())
for name, f in (("iso8583.pack", pack), ("iso8583.unpack", unpack)):
    print(json.dumps({"name": name, "value": round(median(f), 1)}))
