#!/bin/sh
# Installs what building and testing heapledger needs, on a bare Debian 12.
#
#   scripts/setup.sh               everything: build, tests, benchmarks, peers to compare with
#   scripts/setup.sh --build-only  just what is needed to build, record and analyse
#
# Run as root or as a user who may use sudo. It asks dpkg first and touches the network only for what is
# missing, so that test.sh and wrap.sh can call it every time: with nothing to do it takes a tenth of a second.
# It must not upgrade, remove or reconfigure anything that is already there.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
build_only=no
case "${1:-}" in
  --build-only) build_only=yes ;;
  "") ;;
  *) sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

# Sass, an AOT-compiled Dart program, is the one real program of the tests that Debian does not package. The
# version is pinned: a new one would silently change what the test says.
sass_package=sass-embedded-linux-x64
sass_version=1.89.2
sass_prefix="$root/build/npm"

# python3 is what demo.sh records.
build_packages="g++ cmake ninja-build libunwind-dev libxxhash-dev libzstd-dev doctest-dev libfmt-dev
  libcli11-dev nlohmann-json3-dev zlib1g-dev binutils python3"
# libc6-dbg: Valgrind refuses to start where ld.so is stripped. nodejs and npm are looked for as commands, since
# people often have them from elsewhere and Debian's npm package conflicts with those.
test_packages="clang lld clang-format clang-tidy libclang-rt-14-dev llvm-14 heaptrack valgrind libc6-dbg
  gdb tmux git make sqlite3 redis-server redis-tools z3 libjemalloc2 libtcmalloc-minimal4
  libmimalloc2.0 procps dwz patch python3-jsonschema btrfs-progs xfsprogs e2fsprogs quota bindfs"

missing=""
add_missing() {
  for package in "$@"; do
    state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || state=none
    [ "$state" = installed ] || missing="$missing $package"
  done
}

if ! command -v dpkg-query >/dev/null 2>&1; then
  echo "setup: this is not a Debian system; install these yourself, under your system's names:" >&2
  echo "  $(echo $build_packages)" >&2
  [ $build_only = yes ] || echo "  for the tests: $(echo $test_packages) nodejs npm" >&2
  exit 1
fi

# shellcheck disable=SC2086  # word lists
add_missing $build_packages
if [ $build_only = no ]; then
  # shellcheck disable=SC2086
  add_missing $test_packages
  command -v node >/dev/null 2>&1 || missing="$missing nodejs"
  command -v npm >/dev/null 2>&1 || missing="$missing npm"
fi

if [ -n "$missing" ]; then
  if [ "$(id -u)" = 0 ]; then
    as_root=""
  elif command -v sudo >/dev/null 2>&1; then
    as_root=sudo
  else
    echo "setup: these packages are missing and installing them needs root (there is no sudo here):" >&2
    echo "  $missing" >&2
    echo "setup: run as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
  fi
  echo "setup: installing$missing"
  log=$(mktemp)
  # A recommends-free install keeps a desktop's worth of packages away; noninteractive, or tzdata asks. A stale
  # or unreachable index is not yet a failure: the packages may be in the local cache.
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 ||
    echo "setup: apt-get update failed (see below if the installation fails too)" >&2
  # shellcheck disable=SC2086
  if ! $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing \
       >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "setup: apt-get could not install:$missing (whole log: $log)" >&2
    exit 1
  fi
  rm -f "$log"
fi

[ $build_only = no ] || exit 0

sass="$sass_prefix/node_modules/$sass_package/dart-sass/src/dart"
if [ ! -x "$sass" ] && [ ! -e "$sass_prefix/tried-$sass_version" ]; then
  mkdir -p "$sass_prefix"
  if command -v timeout >/dev/null && timeout 180 npm install --prefix "$sass_prefix" --no-save --no-audit \
       --no-fund --loglevel=error "$sass_package@$sass_version" >"$sass_prefix/log" 2>&1; then
    echo "setup: installed $sass_package $sass_version into build/npm"
  else
    # One attempt per checkout: without a network every later call would wait for its timeout again.
    touch "$sass_prefix/tried-$sass_version"
    echo "setup: npm could not install $sass_package (build/npm/log says why); its test will be skipped." >&2
    echo "setup: to try again: rm build/npm/tried-$sass_version" >&2
  fi
fi
