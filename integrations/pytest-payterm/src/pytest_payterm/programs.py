"""Where the programs are."""

import os
import shutil
import subprocess
from pathlib import Path


def find(name):
    """The program in PAYTERM_BIN, else in PATH, else the newest in `target` of the checkout that this package
    stands in."""
    looked = []
    chosen = os.environ.get("PAYTERM_BIN")
    if chosen:
        path = Path(chosen) / name
        if os.access(path, os.X_OK):
            return str(path)
        raise FileNotFoundError(f"{name}: not in PAYTERM_BIN ({chosen})")
    found = shutil.which(name)
    if found:
        return found
    looked.append("PATH")
    for parent in Path(__file__).resolve().parents:
        places = (parent / "target" / kind / name for kind in ("debug", "release", "prove"))
        built = [p for p in places if os.access(p, os.X_OK)]
        if built:
            return str(max(built, key=lambda p: p.stat().st_mtime))
        if (parent / "Cargo.toml").exists():
            looked.append(str(parent / "target"))
    raise FileNotFoundError(
        f"{name}: not in {' or '.join(looked)}; build payterm and export PAYTERM_BIN=.../target/debug, "
        "install this package with `pip install -e` from the checkout, or install payterm"
    )


def run(name, *args, stdin=None, env=None, timeout=60, check=True):
    """Runs a program to its end; what it wrote to stdout, or with `check=False` its CompletedProcess."""
    done = subprocess.run(
        [find(name), *map(str, args)],
        input=stdin,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if not check:
        return done
    if done.returncode:
        command, said = " ".join([name, *map(str, args)]), (done.stderr or done.stdout).strip()
        raise RuntimeError(f"{command}: exit status {done.returncode}: {said}")
    return done.stdout
