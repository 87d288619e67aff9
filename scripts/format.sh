#!/bin/bash
# Checks how the code is written: clang-format on every C and C++ file, clang-tidy on those changed.
#
#   scripts/format.sh            says what clang-format would change, then clang-tidy on files changed since main's fork
#   scripts/format.sh --fix      lets clang-format change it
#   scripts/format.sh --all      clang-tidy on every file (minutes)
#
# clang-tidy needs build/release/compile_commands.json; without it that half is skipped, and says so.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
fix=no all=no
for option in "$@"; do
  case $option in
    --fix) fix=yes ;;
    --all) all=yes ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
mapfile -t files < <(git ls-files --cached --others --exclude-standard '*.c' '*.cc' '*.cpp' '*.h')
((${#files[@]})) || { echo "format: no C or C++ files"; exit 0; }
if [[ $fix = yes ]]; then
  clang-format -i "${files[@]}"
  exit
fi
status=0
unformatted=()
for file in "${files[@]}"; do
  clang-format --dry-run --Werror "$file" 2>/dev/null || unformatted+=("$file")
done
if ((${#unformatted[@]})); then
  echo "format: scripts/format.sh --fix would change:"
  printf '  %s\n' "${unformatted[@]}"
  status=1
else
  echo "format: ${#files[@]} files are as clang-format wants them"
fi

if [[ ! -e build/release/compile_commands.json ]]; then
  echo "format: clang-tidy skipped: no build/release/compile_commands.json (cmake --preset release)"
  exit $status
fi
if [[ $all = yes ]]; then
  mapfile -t tidied < <(git ls-files '*.cc' '*.cpp')
else
  base=$(git merge-base HEAD origin/main 2>/dev/null || git rev-parse HEAD)
  mapfile -t tidied < <({ git diff --name-only --diff-filter=d "$base" -- '*.cc' '*.cpp'
                          git ls-files --others --exclude-standard '*.cc' '*.cpp'; } | sort -u)
fi
# Only what the build compiles: clang-tidy guesses flags for anything else, wrongly.
# The programs of the integration tests do what it objects to, on purpose.
mapfile -t tidied < <(for file in "${tidied[@]}"; do
  [[ $file != tests/integration/programs/* ]] &&
    grep -qF "/$file\"" build/release/compile_commands.json && echo "$file"; done)
if ((${#tidied[@]})); then
  printf '%s\0' "${tidied[@]}" | xargs -0 -n 4 -P "$(nproc)" clang-tidy -p build/release --quiet 2>/dev/null || status=1
  echo "format: clang-tidy looked at ${#tidied[@]} files"
else
  echo "format: clang-tidy: no changed files"
fi
exit $status
