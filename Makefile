# Each target does all of its own set-up and is quick the second time.
PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
VENV := .venv
# The tests of the real programs too; `cargo test -p payterm-tests` alone is the deterministic world, in less
# than two minutes.
REAL = --features payterm-tests/real
# What a test may not do without; where nothing can be mounted, `make test PAYTERM_MUST=` skips what needs it.
export PAYTERM_MUST ?= mounts
BUILT = $(abspath $(or $(CARGO_TARGET_DIR),target))/debug

.PHONY: demo run test test-integrations prove planted soak bench bench-peers install setup
.PHONY: setup-integrations uninstall clean

## A session that a person can follow; exits 0 only if all of it really happened.
demo: setup
	@echo "building, some minutes the first time"
	$(CARGO) build --quiet --workspace --bins
	$(CARGO) run --quiet -p payterm-tests --bin payterm-demo -- demo

## The same terminal, left running.
run: setup
	@echo "building, some minutes the first time"
	$(CARGO) build --quiet --workspace --bins
	$(CARGO) run --quiet -p payterm-tests --bin payterm-demo -- run

# Clippy is a compiler: called as cargo-clippy calls it, it lints and makes the programs of the tests in one
# pass (cargo-clippy itself only checks, and everything would be compiled twice).
LINTED = RUSTC_WORKSPACE_WRAPPER=clippy-driver \
	CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__

## What a change needs: formatting, lints, tests on real parts, small numbers.
test: setup $(VENV)/done
	$(CARGO) fmt --all --check
	$(LINTED) PAYTERM_PYTHON=$(CURDIR)/$(VENV)/bin/python \
		$(CARGO) test --workspace $(REAL)
	$(VENV)/bin/python -W ignore tests/frames/check.py
	$(VENV)/bin/python -W ignore tests/emv/check.py $(BUILT)/examples/emv_vectors
	$(MAKE) test-integrations

## The pytest fixture and the JUnit extension, with programs that are built.
test-integrations: setup-integrations $(VENV)/done
	PAYTERM_BIN=$(BUILT) PYTHONPATH=integrations/pytest-payterm/src $(VENV)/bin/python -m pytest -q \
		-p pytest_payterm.plugin -p no:cacheprovider integrations/pytest-payterm
	PAYTERM_BIN=$(BUILT) integrations/junit-payterm/test.sh

## The big numbers of the issues; writes target/proof.json.
prove: setup $(VENV)/done
	$(CARGO) build --profile prove --workspace --bins --examples
	$${CARGO_TARGET_DIR:-target}/prove/payterm-prove

## Each planted bug (tests/planted) in a copy of the tree: caught by the invariant that it names.
planted: setup
	$(CARGO) run --quiet -p payterm-tests --bin payterm-prove -- planted

## The deterministic world for SECONDS: a failure prints its seed and the shortest story.
SECONDS ?= 600
soak: setup
	$(CARGO) run --profile prove -p payterm-tests --bin soak -- --seconds $(SECONDS)

# OpenSSL's RSA beside the kernel's, where its headers are.
HAS_OPENSSL := $(shell pkg-config --exists openssl 2>/dev/null && echo yes)
OPENSSL = $(if $(HAS_OPENSSL),--features payterm-simulator/openssl)

## A table, and target/bench.json.
bench: setup
	$(CARGO) build --release --workspace --bin paytermd --bin payterm-acquirer --bin payterm-bench \
		--example bench_iso8583 --example bench_emv --example emv_allocations $(OPENSSL)
	$${CARGO_TARGET_DIR:-target}/release/payterm-bench

## The codec beside jPOS and pyiso8583.
bench-peers: setup $(VENV)/done
	tests/peers/run.sh

install:
	$(CARGO) build --release --workspace --bin paytermd --bin paytermctl --bin payterm-acquirer
	packaging/install.sh "$(DESTDIR)" "$(PREFIX)"

## Takes away what install put there; configuration, state and user stay.
uninstall:
	packaging/install.sh --remove "$(DESTDIR)" "$(PREFIX)"

setup:
	@packaging/setup.sh

setup-integrations:
	@packaging/setup.sh integrations

$(VENV)/done: tests/requirements.txt tests/frames/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

clean:
	$(CARGO) clean
	rm -rf $(VENV)
