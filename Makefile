# Everything that a user or CI does. `make` alone lists it.

BIN := target/debug/taskrouter-streams
DIST := target/dist
SIMULATOR := target/debug/twilio-simulator
AXE := target/axe-core
FASTIFY := target/fastify
PORT ?= 8080
PREFIX ?= /usr/local
# Packages install into a folder of their own: make install DESTDIR=…
DESTDIR ?=
# As in FEATURES=opentelemetry, for `make release`.
FEATURES ?=

.DEFAULT_GOAL := help
.PHONY: help demo sim run replay tunnel check deny docs test lab bench release sbom install setup setup-test

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup:
	@command -v cargo >/dev/null || { echo "Rust is missing: install it from https://rustup.rs, then run this again" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is missing (SQLite and TLS need one): apt-get install build-essential, or your system's equivalent" >&2; exit 1; }

demo: setup ## show calls with transfers: service and simulated Twilio, no account needed (ARGS="--scenario warm-transfer")
	@cargo build --quiet --locked --package twilio-simulator
	@$(SIMULATOR) demo $(ARGS)

sim: setup ## run the simulated Twilio alone, to try a consumer: ARGS="--stream-to ws://127.0.0.1:9000/audio"
	@cargo build --quiet --locked --package twilio-simulator
	@$(SIMULATOR) serve $(ARGS)

run: setup ## run the service, configured by the environment and CONFIG=file
	@cargo build --quiet --locked
	@$(BIN) serve $(if $(CONFIG),--config $(CONFIG)) $(ARGS)

replay: setup ## post the recorded events to a running service (TWILIO_AUTH_TOKEN, TO=url)
	@cargo build --quiet --locked
	@$(BIN) replay fixtures/taskrouter --to $(or $(TO),http://127.0.0.1:$(PORT)/taskrouter/events) $(ARGS)

tunnel: ## make the local port reachable for Twilio through ngrok
	@command -v ngrok >/dev/null || { echo "ngrok is missing: see https://ngrok.com/download, then run 'ngrok config add-authtoken …'" >&2; exit 1; }
	@echo "ngrok shows an https:// address. Start the service with TRS__SERVER__PUBLIC_URL set to it, then run"
	@echo "'taskrouter-streams setup', which sets the workspace's Event Callback URL."
	@ngrok http $(PORT)

check: setup ## check formatting, lints, documentation and dependencies
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --all-features --no-deps --document-private-items
	@$(MAKE) --no-print-directory deny

# Advisories need a database, which `cargo deny fetch` downloads; this never does.
deny:
	@if ! cargo deny --version >/dev/null 2>&1; then \
	  echo "NOT CHECKED: licences, bans and sources of dependencies. Install cargo-deny: cargo install --locked cargo-deny" >&2; \
	elif ls -d "$${CARGO_HOME:-$$HOME/.cargo}"/advisory-db*/* >/dev/null 2>&1; then \
	  cargo deny --locked check --disable-fetch; \
	else \
	  cargo deny --locked check licenses bans sources && \
	  echo "NOT CHECKED: advisories, for lack of a database. Fetch one: cargo deny fetch db" >&2; \
	fi

docs: setup ## rewrite the reference in docs/configuration.md from config/default.toml
	UPDATE_DOCS=1 cargo test --locked --all-features --test it -- docs::the_reference

# What the tests need besides Rust. Each is probed for, so that nothing is installed twice.
setup-test: setup
	@missing=; \
	  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || missing="postgresql"; \
	  command -v pgbouncer >/dev/null || test -x /usr/sbin/pgbouncer || missing="$$missing pgbouncer"; \
	  command -v chromedriver >/dev/null || missing="$$missing chromium chromium-driver fonts-dejavu-core"; \
	  ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$$missing faketime"; \
	  test -f $(AXE)/package/axe.min.js || command -v npm >/dev/null || missing="$$missing npm"; \
	  missing=$$(echo $$missing); \
	  if [ -z "$$missing" ]; then exit 0; fi; \
	  if [ -n "$(NO_INSTALL)" ] && [ "$$CI" != true ]; then \
	    echo "SKIPPED: not installing $$missing (NO_INSTALL). The tests that need them will be skipped." >&2; \
	  elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing with apt-get: $$missing (databases, browser and wrong clocks of the tests; 'make test NO_INSTALL=1' skips this and the tests that need them)"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $$missing >/dev/null; \
	  else \
	    echo "SKIPPED: cannot install $$missing (not root, or no apt-get). The tests that need them will be skipped. Install them: sudo apt-get install $$missing, or your system's equivalent" >&2; \
	    [ "$$CI" != true ]; \
	  fi
	@$(MAKE) --silent $(AXE)/package/axe.min.js || [ "$$CI" != true ]

# Judges the console's pages. One file, of one version, from npm; nothing of it is installed or run outside of the tests' browser.
$(AXE)/package/axe.min.js:
	@if command -v npm >/dev/null && [ -z "$(NO_INSTALL)" ]; then \
	  mkdir -p $(AXE) && cd $(AXE) && npm pack --silent axe-core@4.14.1 >/dev/null && tar xzf axe-core-4.14.1.tgz; \
	else \
	  echo "SKIPPED: axe-core is not fetched. The test that needs it will be skipped." >&2; [ "$$CI" != true ]; \
	fi

test: setup-test ## run every test; first installs what they need (NO_INSTALL=1 skips that)
	cargo test --locked --workspace --all-features
	cargo test --locked --test it -- config program

lab: setup ## random runs on a virtual clock: SEEDS=100000, FROM=0, or SEED=n to see one
	LAB_SEEDS=$(or $(SEEDS),100000) LAB_FROM=$(or $(FROM),0) $(if $(SEED),LAB_SEED=$(SEED)) \
		cargo test --locked --profile lab --test it -- lab::whatever lab::seeds --nocapture

# What the rate of events is compared with (benches/figures/fastify.js). Without npm it is left out.
$(FASTIFY)/node_modules/fastify/package.json:
	@if command -v npm >/dev/null && [ -z "$(NO_INSTALL)" ]; then \
	  mkdir -p $(FASTIFY) && npm install --silent --no-save --no-package-lock --no-audit --no-fund --prefix $(FASTIFY) \
	    fastify@5.12.8 @fastify/formbody@9.0.1 twilio@6.3.1; \
	else \
	  echo "Fastify is not fetched, for lack of npm: the benches leave it out." >&2; \
	fi

bench: setup-test $(FASTIFY)/node_modules/fastify/package.json ## measure: figures and ratios of one run (ONLY=name, PROFILE=fast to build sooner)
	ONLY=$(ONLY) cargo bench --locked $(if $(PROFILE),--profile $(PROFILE))

# objcopy keeps the symbols in a file of their own, which gdb finds by the link in the program.
release: setup ## build the release into target/dist: stripped, debug symbols apart (FEATURES=opentelemetry)
	TRS_BUILD_COMMIT=$${TRS_BUILD_COMMIT:-$$(git rev-parse --short=12 HEAD 2>/dev/null)} \
		cargo build --release --locked --bin taskrouter-streams $(if $(FEATURES),--features $(FEATURES))
	@rm -rf $(DIST) && mkdir -p $(DIST)/bin
	@cp target/release/taskrouter-streams $(DIST)/bin/
	@if command -v objcopy >/dev/null; then cd $(DIST)/bin && \
	  objcopy --only-keep-debug --compress-debug-sections taskrouter-streams taskrouter-streams.debug && \
	  objcopy --strip-debug --strip-unneeded --add-gnu-debuglink=taskrouter-streams.debug taskrouter-streams; \
	else echo "NOT STRIPPED: objcopy (binutils) is missing" >&2; fi
	@$(DIST)/bin/taskrouter-streams generate $(DIST)
	@$(MAKE) --no-print-directory sbom
	@ls -l $(DIST)/bin

# What is in the release, for whoever has to know: a CycloneDX list of every package with version, licence and checksum.
sbom:
	@if cargo cyclonedx --version >/dev/null 2>&1; then \
	  cargo cyclonedx --quiet --format json --describe binaries $(if $(FEATURES),--features $(FEATURES)) && \
	  mv taskrouter-streams_bin.cdx.json $(DIST)/taskrouter-streams.cdx.json && rm -f simulator/*.cdx.json; \
	else \
	  echo "NOT MADE: the list of packages in the release (SBOM). Install cargo-cyclonedx: cargo install --locked cargo-cyclonedx" >&2; \
	  [ "$$CI" != true ]; \
	fi

install: ## install the release below PREFIX (/usr/local) with man pages and completions; run `make release` before
	@test -x $(DIST)/bin/taskrouter-streams || { echo "nothing to install: run 'make release' first" >&2; exit 1; }
	install -D -m 0755 $(DIST)/bin/taskrouter-streams $(DESTDIR)$(PREFIX)/bin/taskrouter-streams
	@cd $(DIST) && find share -type f | while read -r file; do install -D -m 0644 "$$file" "$(DESTDIR)$(PREFIX)/$$file"; done
	@echo "installed in $(DESTDIR)$(PREFIX): bin, share/man, completions of bash, zsh and fish"
