#!/usr/bin/env bash
# Obtains real parts and links them under .tools/bin: deploy/tools.sh [--optional] NAME...
#
#   orthanc anvil prometheus    what the dev stack needs
#   opa kubo                    only some tests need them; the demo never waits for them
#   geth                        only `make geth-test` needs it
#   nginx ab                    only the benches need them
#
# What is on PATH comes first, where its version will do. --optional: what cannot be had is said, and is no failure,
# except under CI=true on a machine with Go, where it could have been built.
#
# OPA, Kubo and geth are built from modules pinned by go.sum, not downloaded: a download needs a SHA-256 that we can
# show the origin of, and we have none to show yet. Whoever has the official binary puts it on PATH.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
PATH="$PATH:/usr/sbin:/sbin:/usr/local/go/bin"
mkdir -p "$TOOLS/bin" "$TOOLS/lib"

link() { # NAME TARGET
  ln -sfn "$2" "$TOOLS/bin/$1"
}

# on_path NAME PATTERN COMMAND...: links NAME where COMMAND's output has a line matching PATTERN.
on_path() {
  local name="$1" pattern="$2" found version
  shift 2
  found="$(type -P "$name")" || return 1
  version="$("$found" "$@" 2>&1)" || true
  if grep -Eq "$pattern" <<<"$version"; then
    link "$name" "$found"
  else
    say "$found is not of a version that will do; getting our own"
    return 1
  fi
}

get_orthanc() {
  local plugin
  if ! on_path Orthanc '(^|/)Orthanc (1\.(9|[1-9][0-9])|[2-9])' --version || ! find_plugin >/dev/null; then
    apt_install orthanc orthanc-dicomweb || return 1
    on_path Orthanc '(^|/)Orthanc ' --version || return 1
  fi
  if ! plugin="$(find_plugin)"; then
    sorry "Orthanc is here, its DICOMweb plugin (libOrthancDicomWeb.so) is not: install orthanc-dicomweb and run this again."
    return 1
  fi
  ln -sfn "$plugin" "$TOOLS/lib/libOrthancDicomWeb.so"
}

find_plugin() {
  local path
  for path in /usr/share/orthanc/plugins/libOrthancDicomWeb.so /usr/lib/orthanc/libOrthancDicomWeb.so* \
    /usr/local/share/orthanc/plugins/libOrthancDicomWeb.so; do
    [ -f "$path" ] && printf '%s\n' "$path" && return 0
  done
  return 1
}

get_prometheus() {
  on_path prometheus 'version (2\.[3-9][0-9]|[3-9]\.)' --version && link_promtool && return 0
  apt_install prometheus || return 1
  on_path prometheus 'version' --version && link_promtool
}

link_promtool() { link promtool "$(type -P promtool)"; }

get_nginx() {
  on_path nginx 'nginx/1' -v && return 0
  apt_install nginx-light && on_path nginx 'nginx/1' -v
}

get_ab() {
  on_path ab 'ApacheBench' -V && return 0
  apt_install apache2-utils && on_path ab 'ApacheBench' -V
}

get_anvil() {
  on_path anvil '^anvil Version: 1\.([5-9]|[1-9][0-9])' --version && return 0
  local source="$ROOT/deploy/tools/anvil" home key binary
  if [ "$(uname -sm)" != 'Linux x86_64' ]; then
    sorry "anvil is pinned for x86-64 Linux only: on this machine put anvil 1.7 on PATH and run this again."
    return 1
  fi
  key="$(cat "$source/package-lock.json" | sha256sum | cut -c1-16)"
  home="$CACHE/anvil-$key"
  binary="$home/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
  if [ ! -x "$binary" ]; then
    if ! have npm; then
      sorry "anvil, the chain of the dev stack, comes from npm, and there is no npm here: install Node 20 with npm (Debian: nodejs, npm) or put anvil 1.7 on PATH, and run this again."
      return 1
    fi
    say "installing anvil from npm"
    mkdir -p "$CACHE"
    local work log
    work="$(mktemp -d "$CACHE/anvil.XXXXXX")"
    log="$work/log"
    cp "$source/package.json" "$source/package-lock.json" "$work/"
    if ! (cd "$work" && npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1); then
      tail -n 5 "$log" >&2
      sorry "npm could not install anvil: is its registry reachable? (anvil 1.7 on PATH does as well.)"
      rm -rf "$work"
      return 1
    fi
    mv -T "$work" "$home" 2>/dev/null || rm -rf "$work" # another clone was quicker: the same lock, the same files
  fi
  link anvil "$binary"
}

# build NAME MODULE [PACKAGE]: builds deploy/tools/MODULE, or PACKAGE as that module pins it, once a user and lock, and
# links it as NAME.
build() {
  local name="$1" source="$ROOT/deploy/tools/$2" package="${3:-.}" key binary work
  key="$(find "$source" -type f | sort | xargs cat | sha256sum | cut -c1-16)"
  binary="$CACHE/$2-$key-$(uname -m)/$name"
  if [ ! -x "$binary" ]; then
    if ! have go; then
      sorry "$name is not on PATH and there is no Go to build it with: tests that need it will skip."
      return 1
    fi
    say "building $name with $(go env GOVERSION), once for this user (some minutes)"
    mkdir -p "$(dirname "$binary")"
    work="$(mktemp -d "$CACHE/build.XXXXXX")"
    local started=$SECONDS
    if ! (cd "$source" && go build -mod=readonly -trimpath -buildvcs=false -ldflags='-s -w' -o "$work/$name" "$package" 2>"$work/log"); then
      tail -n 5 "$work/log" >&2
      sorry "$name could not be built: is Go's module proxy reachable, and is Go as new as $source/go.mod asks?"
      rm -rf "$work"
      return 1
    fi
    mv "$work/$name" "$binary"
    rm -rf "$work"
    say "built $name in $((SECONDS - started)) s"
  fi
  link "$name" "$binary"
}

get_opa() { on_path opa '^Version: 1\.' version || build opa opa; }

get_kubo() { on_path ipfs '^ipfs version 0\.(3[5-9]|[4-9][0-9])' --version || build ipfs kubo; }

get_geth() { on_path geth '^Version: 1\.1[67]' version || build geth geth github.com/ethereum/go-ethereum/cmd/geth; }

optional=''
failed=0
for name in "$@"; do
  case "$name" in
    --optional) optional=yes ;;
    orthanc | anvil | prometheus | opa | kubo | geth | nginx | ab) "get_$name" || failed=1 ;;
    *)
      sorry "no such part: $name"
      exit 2
      ;;
  esac
done

if [ "$failed" = 1 ] && [ -n "$optional" ]; then
  if [ "${CI:-}" = true ] && have go; then
    sorry "Under CI on a machine with Go this is a failure."
    exit 1
  fi
  exit 0
fi
exit "$failed"
