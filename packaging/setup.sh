#!/bin/sh
# Installs the system packages that build, demo and tests need; does nothing when all are there.
# `setup.sh integrations`: those of the extensions for integrators too.
set -eu
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need dbus-daemon dbus
need busctl systemd
need gdbus libglib2.0-bin
need systemd-analyze systemd
need strace strace
need python3 python3
need mkfs.ext4 e2fsprogs
need socat socat
need cc gcc
command -v cargo-clippy >/dev/null 2>&1 || missing="$missing rust-web-clippy"
command -v rustfmt >/dev/null 2>&1 || missing="$missing rustfmt-web"
if [ "${1-}" = integrations ]; then
    need mvn maven
    need javac openjdk-17-jdk-headless
fi
[ -z "$missing" ] && exit 0
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
