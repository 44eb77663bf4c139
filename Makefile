# Two commands bring a bare Debian or Ubuntu machine to a running server, or to the end of every test, as root
# or as a user with sudo. Both install what is missing first, and neither replaces what is there.
#
#   make run
#   make test

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# rustup and `cargo install` put their programs here, before any shell profile knows of it.
export PATH := $(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(PATH)
# Queries are checked against the committed .sqlx, whatever DATABASE_URL the server is to use.
export SQLX_OFFLINE := true

SUDO := $(if $(filter-out 0,$(shell id -u)),sudo)
APT_GET := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300

.PHONY: help run test bench lint sqlx openapi examples image
help: ## List the targets
	@awk -F ':[^#]*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

run: tools-run ## Build the server and run it (with its own PostgreSQL unless DATABASE_URL is set)
	@cargo build --release --locked --bin upbeat
	exec target/release/upbeat serve

test: tools-test ## Run every check and every test
	@exec tests/run.sh

# The figures are worth something only on a PostgreSQL that keeps what it commits, so never on one that is given.
bench: tools-run ## Measure speed against two others on this machine and write the table in README.md
	@cargo build --release --locked --bin upbeat --example bench
	export UPBEAT_TEST_POSTGRES_SETTINGS="$$(target/release/examples/bench settings)"
	unset UPBEAT_TEST_DATABASE_URL
	exec tests/with-postgres.sh target/release/examples/bench

lint: tools-lint ## Check format, lints and dependencies
	@cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	if command -v cargo-deny >/dev/null; then
	    cargo deny --locked --log-level error check bans licenses sources
	else
	    echo 'lint: cargo-deny is not installed; dependencies are not checked (cargo install --locked cargo-deny)'
	fi

sqlx: tools-run ## Write .sqlx, the committed answers that queries are checked against
	@exec tests/with-postgres.sh $(MAKE) --no-print-directory sqlx-with-postgres

openapi: tools-run ## Write openapi/openapi.json from the code
	@mkdir -p target openapi
	cargo run --quiet -- openapi >target/openapi.json
	mv target/openapi.json openapi/openapi.json

examples: tools-run ## Write openapi/examples.json from what the server answers, and openapi.json with it
	@UPBEAT_WRITE_EXAMPLES=1 tests/with-postgres.sh \
	    cargo test --quiet --locked --test it examples::the_examples_are_what_the_server_answers
	$(MAKE) --no-print-directory openapi

image: ## Build the container image `upbeat`
	docker build --tag upbeat .

# The second half of `make sqlx`. The migrations go in with psql, as the binary that would apply them may not
# build before the answers are there. The old answers stay until all new ones are written.
.PHONY: sqlx-with-postgres
sqlx-with-postgres:
	@database() { psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$$@" >/dev/null; }
	database --dbname="$$UPBEAT_TEST_DATABASE_URL" \
	    --command='SET client_min_messages = warning' \
	    --command='DROP DATABASE IF EXISTS upbeat_sqlx' --command='CREATE DATABASE upbeat_sqlx'
	export DATABASE_URL="$${UPBEAT_TEST_DATABASE_URL%/*}/upbeat_sqlx"
	for migration in migrations/*.sql; do
	    database --dbname="$$DATABASE_URL" --file="$$migration"
	done
	answers=$(CURDIR)/target/sqlx
	rm -rf "$$answers"
	mkdir -p "$$answers"
	touch src/lib.rs src/main.rs
	SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$$answers" cargo check
	rm -rf .sqlx
	mv "$$answers" .sqlx
	echo ".sqlx: $$(find .sqlx -name '*.json' | wc -l) queries"

# What each command needs on the machine.

.PHONY: tools-system tools-run tools-lint tools-test

# Sets `missing`, does nothing if it is empty, else installs it. PostgreSQL is wanted for its programs alone:
# its packages are kept from setting up a cluster of the system's own, for as long as they are being installed.
define install_missing
	if [ $${#missing[@]} -gt 0 ]; then
	    command -v apt-get >/dev/null || {
	        echo "Please install what Debian calls: $${missing[*]}" >&2
	        exit 1
	    }
	    echo "Installing $${missing[*]}"
	    no_cluster=/etc/postgresql-common/createcluster.d/upbeat-build.conf
	    trap '$(SUDO) rm -f "$$no_cluster"' EXIT
	    $(SUDO) mkdir -p "$${no_cluster%/*}"
	    echo 'create_main_cluster = false' | $(SUDO) tee "$$no_cluster" >/dev/null
	    $(APT_GET) update
	    $(APT_GET) install --yes --no-install-recommends "$${missing[@]}" >/dev/null
	fi
endef

tools-system:
	@missing=()
	command -v curl >/dev/null || missing+=(ca-certificates curl)
	echo '#include <stdlib.h>' | cc -x c -fsyntax-only - 2>/dev/null || missing+=(gcc libc6-dev)
	command -v pkg-config >/dev/null || missing+=(pkg-config)
	command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
	$(install_missing)

tools-run: tools-system
	@wanted=$$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
	new_enough() {
	    printf '%s\n' "$$wanted" "$$(cargo --version 2>/dev/null | cut -d ' ' -f 2)" | sort --check=silent --version-sort
	}
	if ! new_enough; then
	    echo "Installing Rust, as there is no cargo $$wanted or newer"
	    if command -v rustup >/dev/null; then
	        rustup update stable
	    else
	        curl --proto '=https' --tlsv1.2 --silent --show-error --fail https://sh.rustup.rs |
	            sh -s -- -y --quiet --no-modify-path --profile minimal --component clippy --component rustfmt
	    fi
	    new_enough || { echo "cargo $$wanted or newer is needed; found: $$(cargo --version 2>&1)" >&2; exit 1; }
	fi

tools-lint: tools-run
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

tools-test: tools-lint
	@missing=()
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
	command -v node >/dev/null || missing+=(nodejs)
	command -v npm >/dev/null || missing+=(npm)
	$(install_missing)
	node --eval 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' || {
	    echo "Node.js 18 or newer is needed; found: $$(node --version)" >&2
	    exit 1
	}
	cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest
