#!/bin/sh
# What tests and the quickstart need from the machine besides Go: pip, to fetch
# the independent reader of files (DuckDB). The servers they fetch themselves.
set -eu
python3 -m pip --version >/dev/null 2>&1 && exit 0
if ! command -v apt-get >/dev/null; then
  echo "godwit's tests need python3 with pip, and a Debian (or a relative) for the servers they fetch" >&2
  exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
  sudo="sudo -n"
  if ! $sudo true 2>/dev/null; then
    echo "pip is missing; install it first: sudo apt-get install python3-pip" >&2
    exit 1
  fi
fi
echo "installing python3-pip by apt-get" >&2
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends python3-pip >/dev/null
