# Shared by setup.sh and tools.sh: how they speak, and how they get packages from Debian.
# shellcheck shell=bash

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
TOOLS="$ROOT/.tools"
CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/dicomward/tools"

say() { printf '\033[2m[set-up]\033[0m %s\n' "$*"; }

# One sentence: what could not be had, and what to do about it.
sorry() { printf '[set-up] %s\n' "$*" >&2; }

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif have sudo; then
    sudo "$@"
  else
    return 126
  fi
}

# Debian starts a service the moment its package is configured. An archive or a web server that nobody asked
# for must not hold our ports: forbid it for the length of the installation, and at the next boot.
no_services() {
  [ -e /usr/sbin/policy-rc.d ] && return 0
  printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d >/dev/null && as_root chmod 755 /usr/sbin/policy-rc.d
  trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
}

apt_updated=''

# apt_install PACKAGE...: installs what is missing of them, or fails with a sentence.
apt_install() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return 0
  if ! have apt-get; then
    sorry "This needs ${missing[*]}, which is taken from Debian, and there is no apt-get here: install it by hand and run this again."
    return 1
  fi
  if [ "$(id -u)" != 0 ] && ! have sudo; then
    sorry "Installing ${missing[*]} needs root or sudo: run 'apt-get install ${missing[*]}' as root, then run this again."
    return 1
  fi
  no_services
  local log
  log="$(mktemp)"
  if [ -z "$apt_updated" ]; then
    say "reading Debian's package lists"
    as_root apt-get update -q >"$log" 2>&1 || say "apt-get update was not complete; going on with the lists that are there"
    apt_updated=yes
  fi
  say "installing from Debian: ${missing[*]}"
  if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    sorry "apt-get could not install ${missing[*]} (whole output: $log)."
    return 1
  fi
  rm -f "$log"
  for package in "${missing[@]}"; do
    case "$package" in
      orthanc | prometheus | nginx-light)
        if have systemctl; then
          as_root systemctl disable "${package%-light}" >/dev/null 2>&1 || true
        fi
        ;;
    esac
  done
}
