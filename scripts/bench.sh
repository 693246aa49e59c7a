#!/usr/bin/env bash
# Prints the tables of docs/PERFORMANCE.md: timings of smcard and of what it is compared with, in one run. With --update
# it writes them into that page. Other arguments go to smcard-bench: --rounds N, names of sections. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
page=docs/PERFORMANCE.md
update=
[ "${1-}" != --update ] || { update=yes; shift; }

[ "$(id -u)" = 0 ] || { echo "bench: needs root to mount cards" >&2; exit 1; }
cargo build --quiet --release -p smcardd -p smcardctl -p smcard-bench
# Images lie on the disk that the tree lies on; /tmp may be in memory.
mkdir -p target/bench
export TMPDIR=$PWD/target/bench
if [ -z "$update" ]; then
    exec target/release/smcard-bench "$@"
fi
target/release/smcard-bench "$@" >"$TMPDIR/tables.md"
awk -v tables="$TMPDIR/tables.md" '
    /^<!-- end of the tables -->/ { skip = 0 }
    !skip { print }
    /^<!-- tables, made by make bench -->/ { skip = 1; print ""; while ((getline line < tables) > 0) print line }
' "$page" >"$TMPDIR/page.md"
cp "$TMPDIR/page.md" "$page"
