# Eider: `make run` starts it, `make test` proves it, `make check` is what CI runs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build test test-race check fmt fmt-check lint generate generate-check tools deps bench crash fuzz screenshots conformance

GOLANGCI := bin/golangci-lint
GOLANGCI_VERSION := v2.15.0
TEMPL := go tool -modfile=tools/go.mod templ
TEST := go test -json -shuffle=on -timeout 10m
TALLY := go run ./test/tally
# What stands on signals is tested on both kinds.
ON_REDIS := ./mail/store ./mail/account ./mail/deliver ./mail/submit ./web/api ./web/webmail ./web/live ./test/script

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

run: ## start everything on the embedded default; nothing but Go is needed
	go run . serve

build: ## bin/eider
	go build -trimpath -o bin/eider .

deps: ## what the tests need besides Go: Chromium and redis-server
	@test/deps

test: deps ## all tests: embedded store, signals in memory and on a real Redis, a real browser
	@{ $(TEST) ./...; \
	   test/withredis $(TEST) -count=1 $(ON_REDIS); \
	   test/withredis $(TEST) -count=1 -run 'TestFirstLight|TestWithoutScript|TestLive' ./test/browser; } | $(TALLY)

test-race: ## all but the browser, under the race detector
	@set -o pipefail; $(TEST) -race $$(go list ./... | grep -v /test/browser) | $(TALLY)

check: fmt-check lint generate-check test ## what CI runs

fmt: ## format Go and templ
	gofmt -w $$(git ls-files '*.go' | grep -v _templ.go)
	$(TEMPL) fmt templates

fmt-check:
	@bad=$$(git ls-files '*.go' | grep -v _templ.go | xargs gofmt -l); test -z "$$bad" || { echo "not formatted: $$bad"; exit 1; }

tools: $(GOLANGCI) ## the linter, built once

$(GOLANGCI):
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)

lint: $(GOLANGCI) ## go vet and golangci-lint
	go vet ./...
	cd test/bench/mime && go vet .
	$(GOLANGCI) run

generate: ## templ, style sheet, the lists of docs/docstore.md
	$(TEMPL) generate
	go generate ./embedded/docstore
	npm ci --no-audit --no-fund --silent && npm run --silent css

generate-check: generate ## the committed output is what the sources give
	git diff --exit-code -- '*_templ.go' static/dist docs/docstore.md

bench: ## figures: pages, deliveries, weight, memory
	go run ./test/bench
	cd test/bench/mime && go run .

crash: ## kill -9 during deliveries, and of the embedded store alone, 200 rounds each
	EIDER_TEST_CRASH_ROUNDS=200 go test -count=1 -timeout 60m ./test/crash && \
	EIDER_TEST_CRASH_ROUNDS=200 go test -count=1 -timeout 60m -run TestKill ./embedded/docstore

conformance: ## second opinions: WildDuck's parser on messages, mingo on the document engine; skips where npm is away
	test/conformance/wildduck
	test/conformance/mingo/run
	test/conformance/beside/run

fuzz: ## a minute for each fuzz target, as many at a time as there are processors
	test/fuzz 60s

screenshots: deps ## every page at 390, 820 and 1440 px, light and dark, into test/screenshots/out; the README's three into docs
	rm -rf test/screenshots/out
	EIDER_TEST_SCREENSHOTS=test/screenshots/out EIDER_TEST_SCREENSHOTS_README=docs/screenshots go test -count=1 -run TestScreenshots ./test/browser
