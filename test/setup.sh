#!/bin/sh
# What tests and the quickstart need from the machine besides Go: pip, to fetch the
# independent readers of files (DuckDB, pyarrow), and Maven with Java, for servers that
# are published as jars (HDFS) or nowhere else (MySQL), or in archives of xz (other
# versions of PostgreSQL). Those they fetch themselves.
set -eu
missing=
python3 -m pip --version >/dev/null 2>&1 || missing=python3-pip
command -v mvn >/dev/null || missing="$missing maven"
command -v javac >/dev/null || missing="$missing default-jdk-headless"
command -v xz >/dev/null || missing="$missing xz-utils"
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "godwit's tests need python3 with pip, maven, xz and a JDK, and a Debian (or a relative) for the servers they fetch" >&2
  exit 1
fi
sudo=
if [ "$(id -u)" != 0 ]; then
  sudo="sudo -n"
  if ! $sudo true 2>/dev/null; then
    echo "something is missing; install it first: sudo apt-get install $missing" >&2
    exit 1
  fi
fi
echo "installing by apt-get: $missing" >&2
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
