#!/bin/sh
# Installs the system packages that build, demo and tests need; does nothing when all are there.
# `setup.sh integrations`: those of the extensions for integrators too.
set -eu
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; } # PROGRAM DEBIAN-PACKAGE
need dbus-daemon dbus
need busctl systemd
need gdbus libglib2.0-bin
need systemd-analyze systemd
need strace strace
need python3 python3
need mkfs.ext4 e2fsprogs
need socat socat
need cc gcc
need c++ g++
need pkg-config pkg-config
need pcscd pcscd
need ip iproute2
# pcscd's library for the build, and virtual readers for the tests.
pkg-config --exists libpcsclite 2>/dev/null || missing="$missing libpcsclite-dev"
[ -e /usr/lib/pcsc/drivers/serial/libifdvpcd.so ] || missing="$missing vsmartcard-vpcd"
command -v cargo-clippy >/dev/null 2>&1 || missing="$missing rust-web-clippy"
command -v rustfmt >/dev/null 2>&1 || missing="$missing rustfmt-web"
if [ "${1-}" = integrations ]; then
    need mvn maven
    need javac openjdk-17-jdk-headless
fi
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    cat >&2 <<TEXT
setup.sh: missing, by the names of Debian's packages:$missing
Only root can install them, with apt: packaging/setup.sh${1+ $1} as root, once. Elsewhere install what has
these programs (dbus-daemon, busctl and systemd-analyze, gdbus, strace, python3 with venv, mkfs.ext4, socat,
pcscd with vsmartcard's virtual readers, ip, pkg-config with libpcsclite, C and C++ compilers; clippy and
rustfmt come with rustup; Maven and a JDK 17 for the tests of the JUnit extension).
Then run make again. Tests that mount disks or start pcscd need root too; make test PAYTERM_MUST= skips them.
TEXT
    exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
