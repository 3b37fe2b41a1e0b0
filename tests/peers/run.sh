#!/bin/sh
# The ISO 8583 engine against jPOS and pyiso8583: the same message, identical bytes, medians of the same run.
# Prints one JSON object a line. Needs cargo, JDK 17, Maven, and .venv (requirements of tests/frames).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${CARGO_TARGET_DIR:-$root/target}/peers
mkdir -p "$out"
cd "$root"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -c 'import iso8583, psec' 2>/dev/null ||
    .venv/bin/pip install -q -r tests/frames/requirements.txt
cargo build -q --release -p payterm-hosts --example bench_iso8583
bench=${CARGO_TARGET_DIR:-$root/target}/release/examples/bench_iso8583
if [ ! -d "$out/lib" ]; then
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$out/lib.new" >&2
    mv "$out/lib.new" "$out/lib"
fi
javac -d "$out/classes" -cp "$out/lib/*" "$here/src/main/java/Jpos.java"
{ "$bench" --hex; "$bench"; } > "$out/payterm.txt"
java -cp "$out/classes:$out/lib/*" Jpos "$here/message.json" > "$out/jpos.txt"
.venv/bin/python -W ignore "$here/pyiso.py" > "$out/pyiso8583.txt"
exec python3 "$here/compare.py" "$out" jpos pyiso8583
