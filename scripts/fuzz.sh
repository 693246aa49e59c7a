#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS each (60). `make test` replays their corpora with any compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz: needs a nightly toolchain (rustup toolchain install nightly); make test replays the corpora without one" >&2
    exit 1
fi
command -v cargo-fuzz >/dev/null || cargo install --locked --root target/tools cargo-fuzz
for target in $(cargo +nightly fuzz list --fuzz-dir fuzz); do
    echo "== $target"
    cargo +nightly fuzz run --fuzz-dir fuzz "$target" -- -max_total_time="${FUZZ_SECONDS:-60}" -print_final_stats=1
done
