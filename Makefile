SHELL := /bin/bash

IMG           ?= docker.io/keptn/gitops:dev
IMG_EXAMPLE   ?= docker.io/keptn/checkout:dev
PLATFORMS     ?= linux/$(shell go env GOARCH)
FUZZTIME      ?= 10s
VERSION       ?= $(shell git describe --tags --always --dirty)

TOOL     := go tool -modfile=go.tools.mod
TESTBED  := go -C e2e/testbed run .
E2E_BED  := $(TESTBED) --name e2e
MODULES  := . build/image e2e/testbed
# The suite in controllers needs an API server, those in e2e a cluster.
PACKAGES  = $$(go list ./... | grep -vE '/controllers$$|/e2e(/|$$)')

.DEFAULT_GOAL := help

##@ Everyday

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "; print "Usage: make TARGET"} \
		/^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/keptn
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags timetzdata -ldflags "-s -w -X main.version=$(VERSION)" -o bin/keptn ./cmd/keptn

.PHONY: generate
generate: ## Generate deep copies, CRDs, JSON Schemas, boards and the controller's role
	$(TOOL) controller-gen object paths=./api/...
	$(TOOL) controller-gen crd:allowDangerousTypes=true paths=./api/... output:crd:artifacts:config=config/crd
	go run ./config/schema/gen config/schema
	go run ./config/grafana/gen config/grafana
	$(TOOL) controller-gen --load-build-tags=none rbac:roleName=keptn-gitops paths=./controllers/... output:rbac:artifacts:config=config/rbac

.PHONY: tidy
tidy: ## Tidy every module
	for m in $(MODULES); do go -C $$m mod tidy || exit; done

##@ Checks

.PHONY: verify
verify: generate ## Fail where generated files, go.mod or formatting differ from what is committed
	for m in $(MODULES); do go -C $$m mod tidy -diff || exit; done
	@files=$$(gofmt -l .); [ -z "$$files" ] || { echo "not formatted (run gofmt -w):"; echo "$$files"; exit 1; }
	@files=$$(git status --porcelain); [ -z "$$files" ] || { echo "not committed:"; echo "$$files"; git diff; exit 1; }

.PHONY: lint
lint: ## Check style and the arrows between packages
	lint=$$($(TOOL) -n golangci-lint) && for m in $(MODULES); do \
		(cd $$m && go vet ./... && $$lint run ./...) || exit; done

.PHONY: unit
unit: ## Run the tests that need nothing but Go and Git
	go test $(PACKAGES)
	go -C build/image test ./...

.PHONY: integration
integration: ## Run the controllers against a real API server
	KUBEBUILDER_ASSETS=$$($(TESTBED) assets) && export KUBEBUILDER_ASSETS && go test -timeout 30m ./controllers

.PHONY: test-testbed
test-testbed: ## Run the testbed's own tests
	PATH="$$($(TESTBED) assets):$$PATH" go -C e2e/testbed test -timeout 30m ./...

# The testbed is taken down whatever happens; a cluster of the user's is left as it is.
.PHONY: test-e2e
test-e2e: image image-example ## Run end to end: in the testbed, or in the cluster of KUBECONFIG, which has the images
	@set -eu; \
	PATH="$$($(TESTBED) assets):$$PATH"; \
	if [ -z "$${KUBECONFIG:-}" ]; then \
		trap '$(E2E_BED) down >/dev/null' EXIT; trap 'exit 130' INT TERM; \
		access=$$($(E2E_BED) up --with flux,helm,argocd); eval "$$access"; export TESTBED_NAME=e2e; \
		$(E2E_BED) load $(CURDIR)/dist/keptn.tar $(CURDIR)/dist/checkout.tar; \
		$(E2E_BED) load $$($(TESTBED) images); \
	fi; \
	go test -count 1 -timeout 40m ./e2e/ || \
		{ kubectl -n keptn-system logs deployment/keptn-controller >dist/controller.log; exit 1; }

.PHONY: test-chaos
test-chaos: ## Deliver 50 apps while controllers and the API server are killed, in a testbed of its own; CHAOS_SEED says how
	PATH="$$($(TESTBED) assets):$$PATH" go test -v -count 1 -timeout 20m ./e2e/chaos/

.PHONY: test
test: unit integration test-testbed test-e2e test-chaos ## Run every test there is

.PHONY: bench
bench: ## Run the benchmarks, those of a whole cluster in a testbed of their own
	go run ./e2e/bench

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME
	@grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | while IFS=: read -r file target; do \
		echo "$$(dirname $$file) $${target#func }"; \
		go -C "$$(dirname $$file)" test -run '^$$' -fuzz "^$${target#func }\$$" -fuzztime $(FUZZTIME) . || exit; done

.PHONY: deflake
deflake: ## Run the tests in random order, with the race detector, until one fails
	while go test -race -shuffle on -count 1 $(PACKAGES); do :; done

##@ Images and clusters

.PHONY: image
image: ## Build dist/keptn.tar; PLATFORMS=linux/amd64,linux/arm64 gives one archive for both
	go -C build/image run . -dir $(CURDIR) -package ./cmd/keptn -tag $(IMG) -platforms $(PLATFORMS) -o $(CURDIR)/dist/keptn.tar

.PHONY: image-example
image-example: ## Build dist/checkout.tar, the app in examples/checkout
	go -C build/image run . -dir $(CURDIR) -package ./examples/checkout -tag $(IMG_EXAMPLE) -platforms $(PLATFORMS) -o $(CURDIR)/dist/checkout.tar

.PHONY: demo
demo: ## Show it all in a testbed; FORGE, KEEP and KUBECONFIG are passed on
	go run ./e2e/demo

.PHONY: install
install: ## Install the CRDs into the cluster
	kubectl apply --server-side -k config/crd

.PHONY: uninstall
uninstall: ## Remove the CRDs, and with them all objects of theirs
	kubectl delete --ignore-not-found -k config/crd

.PHONY: deploy
deploy: ## Install CRDs, roles and controller into the cluster
	kubectl apply --server-side -k config/default

.PHONY: undeploy
undeploy: ## Remove all that deploy installed
	kubectl delete --ignore-not-found -k config/default
