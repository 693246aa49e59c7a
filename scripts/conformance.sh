#!/usr/bin/env bash
# Runs what a drop box can pass of pjdfstest and fsx on a mounted card, and holds the results to the lists of expected
# failures in tests/conformance. Installs the two suites into target/tools if they are missing. Ends with a line
# "N passed, N failed, N expected failures"; an unexpected pass counts as a failure. Needs root and /dev/fuse.
#
# CONFORMANCE_PROFILE: the cargo profile of the programs under test, dev unless it is said otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${CONFORMANCE_PROFILE:-dev}
tools=$PWD/target/tools
export PATH=$tools/bin:$PATH

[ "$(id -u)" = 0 ] || { echo "conformance: needs root to mount the card and to change users" >&2; exit 1; }
# install NAME VERSION: exactly that version, for the lists name its cases.
install() {
    grep -qs "^\"$1 $2 " "$tools/.crates.toml" || cargo install --quiet --locked --root "$tools" "$1@$2"
}
install pjdfstest 0.2.2
install fsx 0.3.2
cargo build --quiet --profile "$profile" -p smcardd -p smcardctl
exec cargo run --quiet --profile "$profile" -p smcard-conformance
