# The commands of the house. `make up` is the first one to try.
SHELL := bash
export PATH := $(CURDIR)/.tools/bin:$(CURDIR)/.tools/npm/node_modules/.bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup build up demo check test breaking bench bench-queue bench-edge codegen clean

help: ## Show these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: ## Install what is missing: a Redis-compatible server, the local embedding model
	@deploy/setup.sh

build: setup ## Build the `nooble` binary, optimised
	@echo "==> building nooble"
	@cargo build --quiet --release --package nooble

up: build ## Run everything on this machine with demo tenants, ask one question, stay up until Ctrl-C
	@deploy/demo.sh --stay

demo: build ## The same, but end after the answer; fails unless it came with sources
	@deploy/demo.sh

check: ## Format, lints, rules of the house, contract, licences
	@cargo fmt --all --check
	@cargo clippy --quiet --workspace --all-targets -- -D warnings
	@cargo xtask tidy
	@buf lint && buf format --diff --exit-code
	@$(MAKE) --no-print-directory breaking
	@cargo fetch --quiet --locked
	@cargo deny --offline --log-level error check licenses bans sources

breaking: ## Refuse changes of the contract that break callers, against the commit before
	@if git rev-parse --quiet --verify HEAD~1 >/dev/null && git cat-file -e HEAD~1:buf.yaml 2>/dev/null; then \
	  buf breaking --against '.git#ref=HEAD~1,depth=2'; fi

test: ## Install what is missing and run every check and every test
	@deploy/setup.sh --test
	@$(MAKE) --no-print-directory check
	@echo "==> building the tests"
	@cargo build --quiet --workspace --bins
	@deploy/test.sh
	@echo "==> breaking the scripts of the queue"
	@cargo xtask mutate

bench: build ## Measure a chat, hop by hop
	@target/release/nooble bench chat

bench-queue: build ## Measure the queues against others, and write bench/ with tables and a chart
	@target/release/nooble bench queue --out bench

bench-edge: build ## Measure the edge beside bare axum and tonic, and write bench/ with tables
	@target/release/nooble bench edge --out bench

codegen: ## Write the generated protobuf code again
	@cargo xtask codegen

clean: ## Remove builds and the local data of `nooble up`
	@cargo clean --quiet
	@rm -rf .nooble
