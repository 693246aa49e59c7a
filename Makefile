# Every check has a name, and CI runs the same ones. `make demo` and `make test` do all the set-up they need.

SHELL := /bin/bash
CARGO ?= cargo
TOOLS := $(CURDIR)/target/tools
export PATH := $(TOOLS)/bin:$(PATH)

.PHONY: help setup build demo test unit mounted clients clients-bench cables kills kills-long repeats conformance lint deny fuzz bench outage msrv clean cuts cuts-long noise noise-long throughput wire vm slot-demo

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make demo         the main job, start to end: a CAP file becomes an application that answers
demo:
	@scripts/setup.sh demo
	$(CARGO) build --release -p smcardd -p smcardctl -p smcard-fixtures
	scripts/demo.sh

## make test         all tests: units, the card, mounted cards, conformance
test: setup unit mounted conformance

## make unit         tests that need no mount
unit: setup
	$(CARGO) test --workspace --exclude smcard-tests --exclude smcard-kills --exclude smcard-clients --quiet

## make mounted      tests on real mounts: writers, C client, signals, documents, more than 200 kills of the daemon
mounted: setup
	$(CARGO) build -p smcardd -p smcardctl -p smcard-fixtures
	$(CARGO) test -p smcard-tests -p smcard-kills

## make clients      opensc-tool, pcsc_scan, pyscard and scll-core through pcscd: over vpcd and over our handler (needs root)
clients:
	@scripts/setup.sh clients
	$(CARGO) build -p smcardd -p smcardctl -p smcard-ifd -p smcard-clients
	target/debug/smcard-clients --issues $(or $(ISSUES),1000)

## make clients-bench  round trips through pcscd, both ways, beside the bare socket (needs root)
clients-bench:
	@scripts/setup.sh clients
	$(CARGO) build --release -p smcardd -p smcardctl -p smcard-ifd -p smcard-clients
	target/release/smcard-round-trips

## make cables       the tests on real mounts once more, the card behind its SPI interface, then behind the SD bus
cables: setup
	$(CARGO) build -p smcardd -p smcardctl -p smcard-fixtures
	SMCARD_TEST_SOURCE=emulated-spi $(CARGO) test -p smcard-tests --quiet
	SMCARD_TEST_SOURCE=emulated-mmc $(CARGO) test -p smcard-tests --quiet

## make kills        smcardd is killed 300 times under load: nothing acknowledged is lost, nothing half issued is visible
kills: setup
	$(CARGO) build -p smcardd -p smcardctl -p smcard-kills
	target/debug/smcard-kills --kills 300 --per-card 50

## make kills-long   the same KILLS times (10000), by what ships
kills-long: setup
	$(CARGO) build --release -p smcardd -p smcardctl -p smcard-kills
	target/release/smcard-kills --kills $(or $(KILLS),10000) --per-card 100

## make repeats      the power goes at every command of an issue: its table in docs/PERFORMANCE.md
repeats: setup
	$(CARGO) build -p smcardd -p smcardctl -p smcard-kills
	TMPDIR=$(firstword $(wildcard /dev/shm /tmp)) target/debug/smcard-repeats --update docs/PERFORMANCE.md

## make conformance  the part of pjdfstest and fsx that a drop box can pass
conformance: setup
	scripts/conformance.sh

## make cuts         the power goes at every write of a card's life, and the host fails there: 4 million cuts, in minutes
cuts:
	$(CARGO) run -q -p smcard-cuts

## make cuts-long    CUTS more (100000000), at random, by what ships
cuts-long:
	$(CARGO) run -q --release -p smcard-cuts -- --suite random --random $(or $(CUTS),100000000) --seed $(or $(SEED),1)

## make slot-demo    a secure memory card in the SD slot of a virtual machine (needs root, for the rig of make vm)
slot-demo:
	@scripts/setup.sh demo
	scripts/vm-setup.sh
	$(CARGO) build --release -p smcard-slot -p smcardd -p smcardctl -p smcard-fixtures
	scripts/slot-demo.sh

## make vm           drivers and daemon on Debian's kernel in virtual machines; builds the rig under target/vm (needs root)
vm: setup
	scripts/vm-setup.sh
	$(CARGO) build -p smcardd -p smcardctl -p smcard-fixtures -p smcard-slot -p smcard-vm -p smcard-probe
	scripts/vm-cross.sh --quiet -p smcard-probe
	target/debug/smcard-vm $(VM)

## make lint         formatting, clippy and documentation without a warning
lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --document-private-items --quiet

## make deny         licences, advisories and bans of all dependencies (installs cargo-deny into target/tools)
deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked --root $(TOOLS) cargo-deny
	$(CARGO) deny check bans licenses sources

## make fuzz         every fuzz target for FUZZ_SECONDS each (60); needs a nightly toolchain and cargo-fuzz
fuzz:
	scripts/fuzz.sh

## make bench        timings and ratios, side by side in one run: the tables of docs/PERFORMANCE.md on standard output
bench: setup
	scripts/bench.sh

## make outage       what breaks of the link cost, in simulated time: its part of docs/PERFORMANCE.md; RUNS a row (400)
outage:
	$(CARGO) run --release --quiet -p smcard-outage -- --runs $(or $(RUNS),400) --update docs

## make wire         the same stories over every cable, and what the wire costs in clocks: its part of docs/PERFORMANCE.md
wire:
	$(CARGO) run -q -p smcard-wire -- costs --update docs

## make noise        half a million transfers with bit errors, and the card pulled in the middle of every byte: in a minute
noise:
	$(CARGO) run -q -p smcard-wire -- noise

## make noise-long   the same with TRANSFERS (200000) of each of 27 kinds: its part of docs/PERFORMANCE.md
noise-long:
	$(CARGO) run -q -p smcard-wire -- noise --transfers $(or $(TRANSFERS),200000) --seed $(or $(SEED),1) --update docs

## make throughput   how fast the emulated card's open memory is: its part of docs/PERFORMANCE.md
throughput:
	$(CARGO) run -q --release -p smcard-wire -- throughput --update docs

## make msrv         what ships compiles with the oldest compiler it promises (needs that toolchain, or Debian 13)
msrv:
	scripts/msrv.sh

## make setup        installs missing Debian packages
setup:
	@scripts/setup.sh

clean:
	$(CARGO) clean
