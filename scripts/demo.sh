#!/usr/bin/env bash
# The main job, start to end: a Java Card CAP file becomes a batch, cp puts it into the card's protected memory, START
# makes the card issue itself, and the new application answers.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/target/release
work=$(mktemp -d "${TMPDIR:-/tmp}/smcard-demo.XXXXXX")
card=$work/securecard
image=$work/card.img
log=$work/smcardd.log
daemon=

cleanup() {
    if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
        kill "$daemon" && wait "$daemon" 2>/dev/null || true
    fi
    mountpoint -q "$card" && { umount "$card" 2>/dev/null || fusermount3 -u "$card" 2>/dev/null || true; }
    rm -rf "$work"
}
trap cleanup EXIT

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*" | sed "s#$work/##g; s#$bin/##g"; "$@" 2>&1 | sed "s#$work/##g"; }

mkdir "$card"
export SMCARD=$card

say "A CAP file: the package a Java Card converter makes"
"$bin/smcard-fixtures" "$work" >/dev/null
run ls -l "$work/cap/ndef.cap"

say "The preparer packs all commands of the issue into one batch"
run "$bin/smcardctl" pack "$work/cap/ndef.cap" -o "$work/ndef.batch" \
    --applet "F0534D434152440101=D2760000850101,params=D1010F5402656E48656C6C6F2C20636172642E"
run "$bin/smcardctl" inspect "$work/ndef.batch"

say "An emulated card, mounted"
run "$bin/smcardd" create "$image" --size 16M
"$bin/smcardd" "emulated:$image" "$card" -f >"$log" 2>&1 &
daemon=$!
for _ in $(seq 100); do
    mountpoint -q "$card" && break
    kill -0 "$daemon" 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.05
done
mountpoint -q "$card" || { echo "the card did not come up within 5 s" >&2; cat "$log" >&2; exit 1; }
run cat "$card/status"

say "Exchange 1: the batch goes into memory that only the card manager reaches"
run cp "$work/ndef.batch" "$card/issue/"
run ls -l "$card/issue"

say "Exchange 2: START; the card issues itself"
run "$bin/smcardctl" start
run cat "$card/status"

say "The application answers: an NFC Forum Type 4 Tag"
run "$bin/smcardctl" apdu 00A4040007D276000085010100 00A4000C02E104 00B0000015
run "$bin/smcardctl" apps

say "The card is switched off and on; what was issued is still there"
kill "$daemon"
wait "$daemon"
"$bin/smcardd" "emulated:$image" "$card" -f >"$log" 2>&1 &
daemon=$!
for _ in $(seq 100); do mountpoint -q "$card" && break; sleep 0.05; done
run "$bin/smcardctl" apdu 00A4040007D276000085010100
answer=$("$bin/smcardctl" apdu --json 00A4040007D276000085010100)
case $answer in
    *9000*) say "Done: the application answers." ;;
    *) echo "the application does not answer: $answer" >&2; exit 1 ;;
esac
