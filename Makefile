# Everything that a user or CI does. `make` alone lists it.

BIN := target/debug/taskrouter-streams
SIMULATOR := target/debug/twilio-simulator
PORT ?= 8080

.DEFAULT_GOAL := help
.PHONY: help demo sim run replay tunnel check test lab bench setup setup-test browser

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs, then try again" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing (SQLite and TLS need one): apt-get install build-essential, or your system's like" >&2; exit 1; }

demo: setup ## a call with transfers, worker and simulated Twilio, no account needed
	@cargo build --quiet --locked --package twilio-simulator
	@$(SIMULATOR) demo $(ARGS)

sim: setup ## the simulated Twilio alone, to try a consumer: ARGS="--stream-to ws://127.0.0.1:9000/audio"
	@cargo build --quiet --locked --package twilio-simulator
	@$(SIMULATOR) serve $(ARGS)

run: setup ## the worker, configured by the environment and CONFIG=file
	@cargo build --quiet --locked
	@$(BIN) serve $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

replay: setup ## post the recorded events to a running worker (TWILIO_AUTH_TOKEN, TO=url)
	@cargo build --quiet --locked
	@$(BIN) replay fixtures/taskrouter --to $(or $(TO),http://127.0.0.1:$(PORT)/taskrouter/events) $(ARGS)

tunnel: ## make the local port reachable for Twilio through ngrok
	@command -v ngrok >/dev/null || { echo "ngrok is missing: see https://ngrok.com/download, then 'ngrok config add-authtoken …'" >&2; exit 1; }
	@echo "ngrok shows an https:// address. Start the worker with TRS__SERVER__PUBLIC_URL set to it, and give the workspace"
	@echo "  <that address>/taskrouter/events#rc=3&rp=5xx,ct,rt   as its Event Callback URL."
	@ngrok http $(PORT)

check: setup ## formatting, lints, documentation
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --all-features --no-deps --document-private-items

setup-test: ## what the tests need besides: PostgreSQL and PgBouncer, which Debian and its like install here
	@missing=; \
	  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="postgresql"; \
	  command -v pgbouncer >/dev/null || test -x /usr/sbin/pgbouncer || missing="$$missing pgbouncer"; \
	  if [ -z "$$missing" ]; then :; \
	  elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update && apt-get install -y --no-install-recommends $$missing; \
	  else \
	    echo "not installed, and their tests will be skipped: apt-get install $$missing, or your system's like" >&2; \
	  fi

browser: # for the console's tests; without one they say that they were skipped
	@command -v chromedriver >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y --no-install-recommends chromium chromium-driver fonts-dejavu-core; } || echo "no chromedriver: the console is not tried in a browser (apt-get install chromium chromium-driver, or your system's like)" >&2

test: setup setup-test browser ## every test
	cargo test --locked --workspace --all-features
	cargo test --locked --test it -- config program

lab: setup ## random nights on a virtual clock: SEEDS=100000, FROM=0, or SEED=n to see one
	LAB_SEEDS=$(or $(SEEDS),100000) LAB_FROM=$(or $(FROM),0) $(if $(SEED),LAB_SEED=$(SEED)) \
		cargo test --locked --profile lab --test it -- lab::whatever lab::seeds --nocapture

bench: setup setup-test ## figures: ratios measured in one run
	ONLY=$(ONLY) cargo bench --locked
