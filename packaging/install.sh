#!/bin/sh
# Installs what `cargo build --release` made: install.sh DESTDIR PREFIX.
# Both may be "" (nothing before, /usr/local).
# PAYTERM_BIN names another directory of the programs. It may be run again; it never touches /etc/payterm.
set -eu
umask 022
here=$(cd "$(dirname "$0")/.." && pwd)
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
for program in paytermd paytermctl payterm-acquirer; do
    [ -x "$bin/$program" ] ||
        refuse 1 "$bin/$program is not there: cargo build --release --workspace --bins"
done

to=$destdir$prefix
put() { # MODE DIRECTORY FILE...
    mode=$1 dir=$to/$2
    shift 2
    install -d -m 0755 "$dir"
    install -m "$mode" "$@" "$dir"
}
# The files name the programs in /usr/bin.
put_with_prefix() { # DIRECTORY FILE...
    where=$1
    shift
    for file in "$@"; do
        sed "s|=/usr/bin/|=$prefix/bin/|" "$file" >"$made/$(basename "$file")"
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
install -d -m 0755 "$to/lib/sysusers.d"
install -m 0644 "$data/payterm.sysusers.conf" "$to/lib/sysusers.d/payterm.conf"
put 0644 share/man/man1 "$made"/man/*.1
put 0644 share/man/man8 "$here/packaging/paytermd.8"
put 0644 share/bash-completion/completions "$made/completions/paytermctl"
put 0644 share/zsh/site-functions "$made/completions/_paytermctl"
put 0644 share/fish/vendor_completions.d "$made/completions/paytermctl.fish"
put 0644 share/payterm "$here/packaging/payterm.toml"
put 0644 share/payterm/schema "$here"/schema/json/*.json
put 0644 share/doc/payterm "$here"/docs/*.md "$here/README.md" "$here/LICENSE-MIT" "$here/LICENSE-APACHE"

# dbus-daemon and polkit read policies in /usr/share and /etc only.
if [ "$prefix" != /usr ]; then
    for policy in polkit-1/rules.d/50-payterm.rules dbus-1/system.d/org.payterm.Terminal1.conf; do
        install -d -m 0755 "$destdir/etc/${policy%/*}"
        ln -sfn "$prefix/share/$policy" "$destdir/etc/$policy"
    done
fi

echo "installed in $to"
if [ -z "$destdir" ]; then
    echo "next: man 8 paytermd, section FIRST START"
fi
