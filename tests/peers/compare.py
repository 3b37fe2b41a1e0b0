"""Joins the results of run.sh: fails unless all peers made the same bytes."""
import json
import pathlib
import sys

folder, peers = pathlib.Path(sys.argv[1]), sys.argv[2:]


def result(name):
    first, *lines = (folder / f"{name}.txt").read_text().split("\n")
    return first.strip(), {r["name"]: r["value"] for r in map(json.loads, filter(None, lines))}


packed, ours = result("payterm")
for peer in peers:
    bytes_, theirs = result(peer)
    if bytes_ != packed:
        sys.exit(f"{peer} packs other bytes:\n{bytes_}\n{packed}")
    for name, value in ours.items():
        against = theirs[name]
        row = {"name": name, "unit": "ns", "value": value, "against": peer, "against_value": against}
        print(json.dumps({**row, "ratio": round(value / against, 4)}))
