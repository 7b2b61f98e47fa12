#!/usr/bin/env bash
# The one bootstrap: Python environment, then the real parts that the dev stack runs. Safe to run again; quick when
# nothing changed. Needs a Debian 12 (or alike) with root or sudo, Python 3.11 and Node 20.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$ROOT"

started=$SECONDS

find_python() {
  local name
  for name in python3.11 python3 python3.12 python3.13; do
    if have "$name" && "$name" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

# Turns pip's many lines into a few that tell how far it is.
pip_progress() {
  awk -v total="$1" '
    /^Collecting / { n++; if (n % 20 == 0) { printf "[set-up]   %d of about %d packages\n", n, total; fflush() } }
    /^ERROR|^error/ { print; fflush() }
    /^Installing collected/ { print "[set-up]   writing them to .venv"; fflush() }'
}

make_venv() {
  local stamp python packages
  stamp="$(cat requirements-dev.lock pyproject.toml | sha256sum | cut -d' ' -f1) $ROOT"
  if [ -x .venv/bin/dicomward ] && [ "$(cat .venv/set-up 2>/dev/null)" = "$stamp" ]; then
    return 0
  fi
  if ! python="$(find_python)"; then
    apt_install python3 python3-venv || return 1
    if ! python="$(find_python)"; then
      sorry "Python 3.11 or newer is needed and was not found: install it and run this again."
      return 1
    fi
  fi
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    apt_install "$(basename "$(readlink -f "$python")")-venv" || return 1
  fi
  if [ ! -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
  fi
  packages="$(grep -c '^[a-zA-Z0-9]' requirements-dev.lock)"
  say "installing $packages locked packages into .venv"
  if ! .venv/bin/python -m pip --disable-pip-version-check --no-input install --no-color --progress-bar off \
    --require-hashes -r requirements-dev.lock 2>&1 | pip_progress "$packages"; then
    sorry "The Python packages could not be installed: is the package index reachable, and is this x86-64 Linux?"
    return 1
  fi
  if ! .venv/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps --no-build-isolation -e .; then
    sorry "Dicomward itself could not be installed into .venv."
    return 1
  fi
  printf '%s\n' "$stamp" >.venv/set-up
}

say "1/2 Python environment"
make_venv
say "2/2 real parts: Orthanc, anvil, Prometheus"
"$ROOT/deploy/tools.sh" orthanc anvil prometheus
say "ready in $((SECONDS - started)) s"
