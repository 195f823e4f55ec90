# Two commands are all a newcomer needs: `make demo` and `make test`. Both set up what is missing first.

MODEL  := testdata/models/tiny-llama
# Honours a target directory set by the user or by Cargo's own configuration.
TARGET := $(shell cargo metadata --format-version 1 --no-deps 2>/dev/null | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
SAMP   := $(TARGET)/release/samp
PLAN   := $(TARGET)/demo/tiny-llama.plan

.PHONY: demo test setup bench fuzz clean

demo: setup
	cargo build --release --locked --bin samp
	@mkdir -p $(dir $(PLAN))
	$(SAMP) compile $(MODEL) --target cpu --recipe samp -o $(PLAN) --force
	$(SAMP) inspect $(PLAN)
	$(SAMP) run $(PLAN) -p "The parser reads" -n 48 --temperature 0.7 --seed 1

# cargo-nextest runs the same tests in parallel processes where it is installed.
test: setup
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --workspace --locked; \
	else \
	  cargo test --workspace --locked --lib --bins --tests; \
	fi

setup:
	@.ci/setup

bench: setup
	cargo bench --locked -p samp-kernels

# Each fuzz target takes random bytes for this many seconds. Without sanitizers the stable toolchain will do.
SECONDS := 60
FUZZ    := $(wildcard runtime/fuzz/targets/*.rs compiler/fuzz/targets/*.rs)

fuzz: setup
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz@0.13.2
	@set -e; for source in $(FUZZ); do \
	  crate=$${source%/targets/*}; target=$$(basename $$source .rs); \
	  echo "== $$target"; \
	  mkdir -p $$crate/corpus/$$target; \
	  cargo fuzz run --fuzz-dir $$crate -s none $$target $$crate/corpus/$$target $$(ls -d $$crate/seeds/$$target 2>/dev/null) \
	    -- -max_total_time=$(SECONDS) -timeout=20; \
	done

clean:
	cargo clean
