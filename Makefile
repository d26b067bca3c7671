.DEFAULT_GOAL := help
.PHONY: help dev test fmt lint fuzz bench

help: ## Show the recipes
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: ## Start upload, push and the page on http://127.0.0.1:8080, state in ./windlass-data
	cargo run --release -p windlass -- dev

test: ## Run every test; installs and caches what they need (tests/run STAGE… runs some)
	tests/run

fmt: ## Format the Rust code
	cargo fmt --all

lint: ## What CI checks without running the code: formatting, clippy, documentation, the tidy rules
	tests/run tidy fmt clippy docs

fuzz: ## Fuzz every parser, FUZZ_RUNS executions each (20000), and keep what reaches new code in the corpus
	tests/fuzz/run --keep

bench: ## Measure CPU time and memory of uploads and push beside a floor, and print the tables of docs/performance.md
	tests/bench/run
	tests/bench/run push
