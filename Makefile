# Three commands are all a newcomer needs: `make demo`, `make install` and `make test`. Each sets up what is missing first.

MODEL  := testdata/models/tiny-llama
# Rust may have just been installed by the set-up.
export PATH := $(PATH):$(HOME)/.cargo/bin
# Honours a target directory set by the user or by Cargo's own configuration. Asked when it is needed, after the set-up.
TARGET  = $(or $(shell cargo metadata --format-version 1 --no-deps 2>/dev/null | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'),target)

.PHONY: demo install test setup bench quality fuzz clean

# Plans that are whole and newer than the compiler and the model are not made again.
demo: setup
	cargo build --release --locked --bin samp --bin samp-server
	@set -e; target=$(TARGET); samp=$$target/release/samp; demo=$$target/demo; plan=$$demo/tiny-llama.plan; mkdir -p $$demo; \
	if [ -z "$$(find $$samp $(MODEL) -newer $$plan/plan.json 2>&1 | head -1)" ] && $$samp validate $$plan >/dev/null 2>&1 && \
	  $$samp validate $$demo/f16.plan >/dev/null 2>&1; then \
	  echo "$$plan is up to date"; \
	else \
	  $$samp compile $(MODEL) --target cpu --recipe samp -o $$plan --force; \
	  $$samp compile $(MODEL) --target cpu --recipe uniform:f16 -o $$demo/f16.plan --force; \
	fi; \
	$$samp inspect $$plan; \
	$$samp run $$plan -p "The parser reads" -n 48 --temperature 0.7 --seed 1; \
	echo; echo "== the same plan, asked over OpenAI's API, and judged by a plan in f16"; \
	: >$$demo/serve.log; $$samp serve $$plan --port 0 --baseline $$demo/f16.plan --shadow 100% --canary none --admin-port 0 \
	  2>$$demo/serve.log & server=$$!; trap "kill $$server" EXIT; \
	listening() { sed -n "/\"event\":\"listening\"/s/.*\"$$1\":\"\([^\"]*\)\".*/\1/p" $$demo/serve.log; }; \
	until [ -n "$$(listening address)" ]; do \
	  kill -0 $$server || { cat $$demo/serve.log; exit 1; }; sleep 0.1; \
	done; \
	address=$$(listening address); \
	curl -sS http://$$address/v1/chat/completions -H 'content-type: application/json' \
	  -d '{"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 32, "seed": 1}'; echo; \
	for look in 1 2 3 4 5 6 7 8 9 10; do \
	  gate=$$(curl -sS http://$$(listening admin)/v1/samp/gate); \
	  case "$$gate" in *'"requests":1'*) break;; esac; sleep 0.2; \
	done; \
	echo; echo "== what the judge says of it: its gate"; echo "$$gate"; \
	echo; echo "$$samp is the command; \`make install PREFIX=\$$HOME/.local\` puts it and its manual pages there"

# The command, NVRTC where the set-up could fetch it, manual pages and shells' completions, below PREFIX. Packagers set DESTDIR,
# which stands before it. Under sudo what the user built is installed: root may have no Rust.
PREFIX  := /usr/local
INTO     = $(DESTDIR)$(PREFIX)

install:
	@[ -n "$$SUDO_USER" ] && [ -x $(TARGET)/release/samp-server ] || \
	  { $(MAKE) setup && cargo build --release --locked --bin samp --bin samp-server; }
	@set -e; target=$(TARGET); samp=$(INTO)/bin/samp; share=$(INTO)/share; \
	install -D -m 755 $$target/release/samp $$samp; \
	install -D -m 755 $$target/release/samp-server $$samp-server; \
	for library in $$target/nvrtc/libnvrtc*.so.*; do \
	  [ ! -e $$library ] || install -D -m 644 -t $(INTO)/lib/samp $$library; \
	done; \
	install -d $$share/bash-completion/completions $$share/zsh/site-functions $$share/fish/vendor_completions.d; \
	$$samp man $$share/man/man1 >/dev/null; \
	$$samp completions bash >$$share/bash-completion/completions/samp; \
	$$samp completions zsh >$$share/zsh/site-functions/_samp; \
	$$samp completions fish >$$share/fish/vendor_completions.d/samp.fish; \
	echo "installed $$samp"; \
	[ -n "$(DESTDIR)" ] || [ "$$(command -v samp)" = $$samp ] || \
	  echo "the shell does not find it there yet: put $(PREFIX)/bin first on the PATH"

# cargo-nextest runs the same tests in parallel processes where it is installed. `FEATURES=samp-cli/parquet` tests reading
# parquet as well.
FEATURES :=
test: setup
	@if cargo nextest --version >/dev/null 2>&1; then \
	  cargo nextest run --workspace --locked --features "$(FEATURES)"; \
	else \
	  cargo test --workspace --locked --lib --bins --tests --examples --features "$(FEATURES)"; \
	fi

setup:
	@.ci/setup

bench: setup
	cargo bench --locked -p samp-kernels

# Calibrated plans at several sizes, judged on texts from SAMP_EVAL_DIR; skipped where there are none.
# `make quality ARGS=--ablation` shows instead what each quality pass does.
quality: setup
	cargo bench --locked -p samp-cli --bench quality -- $(ARGS)

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
