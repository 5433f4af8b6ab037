# Everything a newcomer runs. Each target does its own set-up on Debian 12 with Rust installed.

# Tests and the demo make network namespaces and load XDP programs: that takes root. Without root but with sudo, the
# build runs as you and only the resulting programs run through sudo. With neither, those tests are skipped by name.
ROOT   := $(shell if [ "$$(id -u)" = 0 ]; then echo ""; elif sudo -n true 2>/dev/null || [ -t 0 ]; then echo "sudo -E"; fi)
TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
RUNNER := CARGO_TARGET_$(shell echo $(TARGET) | tr 'a-z-' 'A-Z_')_RUNNER

# What takes Miri minutes is left out: simulations, and tests that go through all of something.
MIRI_PROTO := --skip all_ --skip simulation --skip link --skip exactly_ --skip orders

.PHONY: demo library test test-zerocopy fuzz soak planted mutants miri accept assurance check bench bench-flood bench-proxy bench-bulk setup

demo: setup            ## the front end calm and under a SYN flood, then HAProxy in its place: a table
	cargo build --release --quiet --package synward
	$(ROOT) target/release/synward demo $(ARGS)

library: setup         ## the C library and its header: target/release/libsynward.so and engine/capi/include/synward.h
	cargo build --release --quiet --package synward-c
	cp target/release/libsynward_c.so target/release/libsynward.so
	@echo "-I$(CURDIR)/engine/capi/include -L$(CURDIR)/target/release -lsynward -Wl,-rpath,$(CURDIR)/target/release"

test: setup            ## every test without timing in it
	$(if $(ROOT),$(RUNNER)="$(ROOT)") cargo test --workspace $(ARGS)

fuzz: setup            ## fuzzes each target for 30 minutes (ARGS="--minutes N TARGET…") with nightly Rust: target/assurance/fuzz.json
	engine/fuzz/campaign $(ARGS)

test-zerocopy: setup   ## nic's tests and the engine in forced zero-copy on real drivers, in virtual machines
	deploy/zerocopy/run $(ARGS)

mutants: setup         ## a hundred mutants of proto and nic, drawn by a seed: which of them no test notices (ARGS="--seed 1")
	@cargo mutants --version >/dev/null 2>&1 || cargo install --locked cargo-mutants@27.1.0
	cargo build --quiet --package synward-testkit --bins
	$(if $(ROOT),$(RUNNER)="$(ROOT)") target/debug/synward-mutants $(ARGS)

soak: setup            ## whole hosts in a hostile world, seed after seed, until stopped (ARGS="--minutes 60", ARGS="--seed 7")
	cargo build --profile soak --quiet --package synward-testkit --bin synward-soak
	target/soak/synward-soak $(ARGS)

planted: setup         ## realistic bugs, one after the other, put into a copy of the tree: which seed of the simulator notices (ARGS="--only paws")
	cargo build --quiet --package synward-testkit --bin synward-planted
	target/debug/synward-planted $(ARGS)

miri:                  ## what Miri can run of proto and nic: undefined behaviour, also on a big-endian machine
	@cargo +nightly miri --version >/dev/null 2>&1 || { echo "make miri needs Miri: rustup toolchain install nightly --component miri,rust-src" >&2; exit 1; }
	MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4 cargo +nightly miri test --package synward-proto --lib -- $(MIRI_PROTO)
	MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=4 cargo +nightly miri test --package synward-proto --lib --target s390x-unknown-linux-gnu -- wire
	RUSTFLAGS=--cfg=rustix_use_libc MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test --package synward-nic --lib -- frame ledger

accept: setup          ## what is about time or volume: a table of wanted against seen
	cargo build --release --quiet --workspace --bins
	$(ROOT) target/release/synward-accept $(ARGS)

assurance: setup       ## runs the tests and makes docs/assurance.md of what they and the reports in target/assurance say
	mkdir -p target/assurance
	-$(MAKE) test ARGS="--no-fail-fast $(ARGS)" > target/assurance/tests.log 2>&1
	cargo run --quiet --package synward-testkit --bin synward-assurance -- --tests target/assurance/tests.log

bench: setup           ## criterion benches
	cargo bench --workspace $(ARGS)

bench-flood: setup     ## SYN and ACK floods, the kernel and bare XDP beside us: tables and target/bench-flood/report.json and .svg
	cargo build --release --quiet --package synward --bins
	$(ROOT) target/release/synward-bench-flood $(ARGS)

bench-proxy: setup     ## the front end beside HAProxy on one core, interleaved: a table and target/bench-proxy/report.json
	cargo build --release --quiet --package synward --bins
	$(ROOT) target/release/synward-bench-proxy $(ARGS)

bench-bulk: setup      ## bulk between engine and kernel beside two kernels, interleaved: a table and target/bench-bulk/report.json
	cargo build --release --quiet --package synward --bins
	$(ROOT) target/release/synward-bench-bulk $(ARGS)

check:                 ## formatting, lints, documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

setup:
	@deploy/setup
