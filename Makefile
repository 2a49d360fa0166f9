# Everything godwit needs besides Go and git is fetched on first use, into the
# caches of Go and of the tests (GODWIT_TEST_CACHE, ~/.cache/godwit-test).
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
export CGO_ENABLED := 0
export GOFLAGS ?= -mod=readonly

.PHONY: help build test soak bench quickstart lint setup fetch generate clean
.DEFAULT_GOAL := help

help: ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

build: ## bin/godwit: one static file
	go build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/godwit ./cmd/godwit

test: setup ## everything that must hold before a change lands
	$(MAKE) -j 2 lint fetch
	go vet ./...
	go test -p 2 -timeout 25m ./...
	cd test/web && go vet ./... && go test -timeout 10m ./...

soak: setup ## the same tests with many more rounds, and 10 minutes for each fuzz target; takes some hours
	GODWIT_SOAK=1 go test -p 1 -count 1 -timeout 6h ./...
	test/fuzz.sh $(or $(FUZZTIME),10m)

bench: setup build ## measure against others; writes docs/benchmarks.md
	go run ./test/bench

quickstart: setup build ## see it work: a shop in a real MariaDB, to CSV and proven equal
	go run ./test/quickstart

lint: ## static checks; the first time builds the linters
	cd test/lint && go build -o ../../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run -c test/lint/golangci.yml ./...

setup: ## what tests need from the machine besides Go; others call it
	@test/setup.sh

fetch: setup ## what tests need besides, side by side; what fails is tried again by the test that needs it
	go run ./test/servers/fetch

generate: ## pages and schemas that are made from the code
	go generate ./...

clean: ## remove what was built here; caches stay
	rm -rf bin
