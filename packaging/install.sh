#!/bin/sh
# Installs what `cargo build --release` made: install.sh DESTDIR PREFIX; install.sh --remove DESTDIR PREFIX
# takes away what it put there (share/payterm/installed names it).
# Both may be "" (nothing before, /usr/local).
# PAYTERM_BIN names another directory of the programs. It may be run again; it never touches /etc/payterm, the
# state directory or the user payterm.
set -eu
umask 022
here=$(cd "$(dirname "$0")/.." && pwd)
remove=no
if [ "${1-}" = --remove ]; then
    remove=yes
    shift
fi
destdir=${1-}
prefix=${2:-/usr/local}
bin=${PAYTERM_BIN:-${CARGO_TARGET_DIR:-$here/target}/release}
refuse() { # STATUS TEXT
    echo "install.sh: $2" >&2
    exit "$1"
}
case $prefix in
    /*) ;;
    *) refuse 2 "PREFIX: an absolute path, not '$prefix'" ;;
esac
case $prefix in
    *[!A-Za-z0-9/._+-]*) refuse 2 "PREFIX: only A-Z a-z 0-9 / . _ + - (it stands in unit files)" ;;
esac
to=$destdir$prefix
list=$to/share/payterm/installed

if [ $remove = yes ]; then
    [ -f "$list" ] || refuse 1 "$list is not there: nothing is installed in $to"
    # Each line is a path below DESTDIR. Directories that are payterm's own go when they are empty.
    sort -r "$list" | while IFS= read -r path; do
        rm -f "$destdir$path"
        dir=$(dirname "$path")
        while case $dir in *payterm*) ;; *) false ;; esac && rmdir "$destdir$dir" 2>/dev/null; do
            dir=$(dirname "$dir")
        done
    done
    echo "removed from $to; /etc/payterm, the state directory and the user payterm stay"
    exit 0
fi

for program in paytermd paytermctl payterm-acquirer; do
    [ -x "$bin/$program" ] ||
        refuse 1 "$bin/$program is not there: cargo build --release --workspace --bins"
done

put() { # MODE DIRECTORY FILE...
    mode=$1 under=$2
    shift 2
    install -d -m 0755 "$to/$under"
    install -m "$mode" "$@" "$to/$under"
    for file in "$@"; do echo "$prefix/$under/$(basename "$file")" >>"$made/installed"; done
}
# The files name the programs in /usr/bin.
put_with_prefix() { # DIRECTORY FILE...
    where=$1
    shift
    for file in "$@"; do
        sed "s|=/usr/bin/|=$prefix/bin/|; s|PREFIX|$prefix|g" "$file" >"$made/$(basename "$file")"
        put 0644 "$where" "$made/$(basename "$file")"
    done
}

# Everything that is made is made first: a program that does not run leaves nothing half installed.
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
mkdir "$made/man" "$made/completions"
"$bin/paytermctl" man "$made/man"
"$bin/paytermctl" completions bash >"$made/completions/paytermctl"
"$bin/paytermctl" completions zsh >"$made/completions/_paytermctl"
"$bin/paytermctl" completions fish >"$made/completions/paytermctl.fish"

data=$here/dbus/data
put 0755 bin "$bin/paytermd" "$bin/paytermctl" "$bin/payterm-acquirer"
put_with_prefix lib/systemd/system "$data/paytermd.service" "$data/paytermd@.service"
put_with_prefix share/dbus-1/system-services "$data/org.payterm.Terminal1.service"
put 0644 share/dbus-1/system.d "$data/org.payterm.Terminal1.conf"
put 0644 share/dbus-1/interfaces "$data"/*.xml
put 0644 share/polkit-1/rules.d "$data/50-payterm.rules"
cp "$data/payterm.sysusers.conf" "$made/payterm.conf"
put 0644 lib/sysusers.d "$made/payterm.conf"
put 0644 share/man/man1 "$made"/man/*.1 "$here/packaging/payterm-acquirer.1"
put_with_prefix share/man/man8 "$here/packaging/paytermd.8"
put 0644 share/bash-completion/completions "$made/completions/paytermctl"
put 0644 share/zsh/site-functions "$made/completions/_paytermctl"
put 0644 share/fish/vendor_completions.d "$made/completions/paytermctl.fish"
put 0644 share/payterm "$here/packaging/payterm.toml"
put 0644 share/payterm/schema "$here"/schema/json/*.json
put 0644 share/payterm/profiles "$here"/crates/hosts/profiles/*.toml
put 0644 share/payterm/templates "$here"/crates/texts/templates/*.jinja

# The pages keep their places beside each other. A link to what is not installed becomes its text.
doc=share/doc/payterm
put 0644 $doc "$here"/*.md "$here/LICENSE-MIT" "$here/LICENSE-APACHE"
put 0644 $doc/docs "$here"/docs/*.md "$here"/docs/*.toml
put 0644 $doc/crates/simulator "$here/crates/simulator/README.md"
put 0644 $doc/dbus/examples "$here"/dbus/examples/*.py "$here/dbus/examples/pos.rs" \
    "$here/dbus/examples/requirements.txt"
for page in "$to/$doc"/*.md "$to/$doc"/docs/*.md "$to/$doc"/crates/simulator/*.md; do
    awk -v dir="$(dirname "$page")" '
        function there(file, line, is) {
            is = (getline line < (dir "/" file)) >= 0
            close(dir "/" file)
            return is
        }
        {
            out = ""
            while (match($0, /\[[^][]*\]\([^()]*\)/)) {
                link = substr($0, RSTART, RLENGTH)
                at = index(link, "](")
                to = substr(link, at + 2, length(link) - at - 2)
                file = to
                sub(/#.*/, "", file)
                keep = to ~ /:\/\// || file == "" || there(file)
                out = out substr($0, 1, RSTART - 1) (keep ? link : substr(link, 2, at - 2))
                $0 = substr($0, RSTART + RLENGTH)
            }
            print out $0
        }' "$page" >"$made/page"
    install -m 0644 "$made/page" "$page"
done

# dbus-daemon and polkit read policies in /usr/share and /etc only.
if [ "$prefix" != /usr ]; then
    for policy in polkit-1/rules.d/50-payterm.rules dbus-1/system.d/org.payterm.Terminal1.conf; do
        install -d -m 0755 "$destdir/etc/${policy%/*}"
        ln -sfn "$prefix/share/$policy" "$destdir/etc/$policy"
        echo "/etc/$policy" >>"$made/installed"
    done
fi
echo "$prefix/share/payterm/installed" >>"$made/installed"
install -m 0644 "$made/installed" "$list"

echo "installed in $to"
if [ -z "$destdir" ]; then
    echo "next: man 8 paytermd, section FIRST START"
fi
