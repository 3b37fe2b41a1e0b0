"""One JSON object a line over a Unix socket, one answer a line.

So the virtual devices and the acquirer's control are spoken to.
"""

import json
import socket


def ask(path, command, timeout=30):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(str(path))
        s.sendall(json.dumps(command, ensure_ascii=False).encode() + b"\n")
        with s.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        raise ConnectionError(f"{path}: closed without an answer")
    return json.loads(line)
