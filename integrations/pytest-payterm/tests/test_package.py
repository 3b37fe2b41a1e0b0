"""The package as it is installed: found by its entry point, torn down, and telling the terminal's story when
a test fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]

TEST = """
def test_one(payterm):
    print("DIR", payterm.dir, "PID", payterm._daemon.pid)
    payterm.customer.pays("alice")
    assert False, "on purpose"
"""


def test_it_installs_and_tears_down(tmp_path, monkeypatch):
    source = tmp_path / "source"
    subprocess.run(["cp", "-r", HERE, source], check=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-build-isolation", "--no-index", "--target", tmp_path / "site"]
    subprocess.run([*pip, *alone, source], check=True, capture_output=True)
    (tmp_path / "test_it.py").write_text(TEST)
    programs = os.environ.get("PAYTERM_BIN") or str(HERE.parents[1] / "target" / "debug")
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PAYTERM_BIN": programs}

    def pytest():
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    done = pytest()
    assert done.returncode == 1, done.stdout + done.stderr
    for told in ("on purpose", "--- paytermd ---", "ready", "the acquirer saw", "'mti': '0800'"):
        assert told in done.stdout, f"{told}: {done.stdout}"
    words = done.stdout.split("DIR ")[1].split()
    assert not Path(words[0]).exists() and not Path(f"/proc/{words[2]}").exists()

    env["PAYTERM_BIN"] = str(tmp_path)
    done = pytest()
    assert f"not in PAYTERM_BIN ({tmp_path})" in done.stdout

    # Installed away from the checkout, it says how it finds the programs.
    del env["PAYTERM_BIN"]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dbus-daemon").symlink_to(shutil.which("dbus-daemon"))
    env["PATH"] = str(tmp_path / "bin")
    done = pytest()
    assert "export PAYTERM_BIN" in done.stdout and "pip install -e" in done.stdout, done.stdout
