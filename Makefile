# smtpstorm. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
# Postfix's smtp-source and postfix live in /usr/sbin, which a user's PATH often lacks.
export PATH := $(PATH):/usr/sbin:/sbin
# k6 must not phone home, nor fetch another k6, from any target.
export K6_NO_USAGE_REPORT := true
export K6_AUTO_EXTENSION_RESOLUTION := false

GO ?= go
GO_MIN := 1.26
TOOL := $(GO) tool -modfile=scripts/tools/go.mod
# One set of flags for whatever compiles: build, vet, staticcheck, the tests, and what they build, also by xk6, which has this one by
# default. Another set would compile k6 once more.
export GOFLAGS := $(strip $(filter-out -trimpath,$(shell $(GO) env GOFLAGS 2>/dev/null)) -trimpath)
# go test tells of a package when it is over: this tells when it begins, what is under way, and what was skipped.
LINES := $(GO) run -C scripts/tools ./testlines
MODULE := github.com/smtpstorm/xk6-smtp
FUZZTIME ?= 30s
BENCH ?= .
BENCHTIME ?= 1s
COUNT ?= 1
TESTFLAGS ?=
PEERS ?=
SOAK_DURATION ?= 60m
SOAK ?=
FLEET_MESSAGES ?= 30000
# Records name the commit that made them, also where GOFLAGS leaves it out of binaries; without git they say that it is unknown.
VCS := $(shell git status >/dev/null 2>&1 && echo -buildvcs=true)

# Of make storms: which, through which MTAs, how often, with how many messages.
STORMS ?= S0 S1 S2 S3 S4 S5 S6 S7 S8 S9 S10 S11 S12 S13 S14 S15 S16 S17 S18 S19
MTAS ?= postfix exim haraka sendmail
RUNS ?= 1
MESSAGES ?= 200
STORMOUT ?= results/storms

.PHONY: docs suites report-picture rediscover fleet-check soak storms storm-smoke scheduler qshape help build mtas run test lint race bench benchstat record-bench bench-peers bench-curves bench-k6 calibrate r-vectors fuzz release package-check kubernetes-check xk6 xk6-lint clean go-version

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

go-version:
	@command -v $(GO) >/dev/null || { echo "make: no Go on the PATH: install Go $(GO_MIN) or newer from https://go.dev/dl/ (Debian's and Ubuntu's own packages are too old)" >&2; exit 2; }
	@version=$$($(GO) env GOVERSION); v=$${version#go}; \
	  if [ "$$(printf '%s\n%s\n' $(GO_MIN) "$${v%%-*}" | sort -V | head -n 1)" != "$(GO_MIN)" ]; then \
	    echo "make: $$version is too old: install Go $(GO_MIN) or newer from https://go.dev/dl/ (Debian's and Ubuntu's own packages are too old)" >&2; exit 2; fi

build: go-version ## build bin/k6, bin/smtpsink and bin/smtpbench
	$(GO) build $(VCS) -o bin/ ./xk6smtp/cmd/k6 ./sink/cmd/smtpsink ./bench/cmd/smtpbench

mtas: go-version ## get the MTAs that are missing into a private directory, Postfix (as root) from Debian
	$(GO) run ./bench/cmd/smtpbench mta list --fetch | sh -ex

run: build ## the main job: calm against bounce storm, compared; writes results/latest/report.html
	bin/smtpbench run --out results/latest

storms: build ## MTAs under storms, one after the other, two minutes each (STORMS='S1 S8' MTAS='postfix exim' RUNS=1 MESSAGES=200); what is there already is left
	@for run in $$(seq $(RUNS)); do for storm in $(STORMS); do for mta in $(MTAS); do \
	  out=$(STORMOUT)/$$storm/$$mta-$$run; if [ -e $$out/storm.json ]; then continue; fi; echo "== $$mta $$storm, run $$run"; status=0; \
	  bin/smtpbench storm --mta $$mta --storm $$storm --messages $(MESSAGES) --seed $$run --out $$out || status=$$?; \
	  case $$status in 0|1|2|3) ;; *) exit $$status;; esac; done; done; done
	bin/smtpbench storm report $(STORMOUT)

# Short: its storms end after seconds, and the cutoff is near.
storm-smoke: build ## two MTAs through two storms of some seconds, under three minutes; fails unless all is sound
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	for storm in outage-421 ambiguous; do \
	  sed 's/duration: 60s/duration: 3s/' scripts/plans/storms/*-$$storm.yaml > $$dir/$$storm.yaml; \
	  for mta in postfix haraka; do bin/smtpbench storm --mta $$mta --storm $$dir/$$storm.yaml --messages 60 --backoff 5s --out $$dir/$$mta-$$storm; done; done; \
	bin/smtpbench storm report $$dir

scheduler: go-version ## Postfix's own published experiment on concurrency feedback, three runs each, against theory (3 minutes, root); writes results/scheduler/
	scripts/record-scheduler.sh

qshape: go-version ## Postfix's example of two mail exchangers of which one is dead, three runs each with and without connection caching (5 minutes, root); writes results/qshape/
	scripts/record-qshape.sh

# Tests that run real programs wait more than they compute: four packages at once, four parallel tests in each, whatever the cores, and the
# longest first. Lint has vetted everything: go test would do it again, with fewer checks, for all that we depend on.
test: lint ## lint, vet and all tests but xk6-lint (REQUIRE_ALL=1: a missing system tool fails instead of skipping)
	$(GO) test -json -vet=off -p 4 -parallel 4 $(TESTFLAGS) -timeout 20m ./sink ./docs ./xk6smtp ./bench/run ./bench/cmd ./bench/mta ./... | $(LINES) $(filter -v,$(TESTFLAGS)) $(MODULE)
	(cd bench/peers && $(GO) test -json -vet=off $(TESTFLAGS) -timeout 5m ./...) | $(LINES) $(filter -v,$(TESTFLAGS)) $(MODULE)
	cd scripts/tools && $(GO) test -vet=off $(TESTFLAGS) ./...

lint: go-version ## gofmt, go vet, staticcheck (pinned in scripts/tools/go.mod), types on other systems
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "not formatted (run gofmt -w): $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	cd bench/peers && $(GO) vet ./... && $(GO) tool -modfile=../../scripts/tools/go.mod staticcheck ./...
	cd scripts/tools && $(GO) vet ./... && $(GO) tool staticcheck ./...
	@cd scripts/tools/packaging && $(GO) list -deps ./manuals >/dev/null || { echo "make: the module of the packaging lacks what the commands import now: cd scripts/tools/packaging && go mod tidy" >&2; exit 1; }
	$(GO) run -C scripts/tools ./typecheck -C ../.. darwin/arm64,windows/amd64 ./...

race: go-version ## all tests of the sink, the client and the reports under the race detector
	$(GO) test -json -race -timeout 30m ./... | $(LINES) $(MODULE)

bench: go-version ## go test -bench: the draw, the session, the client, the sink over loopback (BENCH=regexp, BENCHTIME=1s, COUNT=1)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -count $(COUNT) -benchmem ./...

benchstat: go-version ## compare two files of `make bench` (OLD=before.txt NEW=after.txt); intervals want COUNT=10 runs of each
	@for file in "$(OLD)" "$(NEW)"; do \
	  test -s "$$file" || { echo "make: benchstat needs two outputs of make bench: make benchstat OLD=before.txt NEW=after.txt ('$$file' can't be read)" >&2; exit 2; }; done
	@$(TOOL) benchstat "$(OLD)" "$(NEW)"

record-bench: go-version ## the same for the hot paths, several times, recorded with provenance in results/bench/
	scripts/record-bench.sh

bench-peers: build ## the sink beside smtp-sink, gnet, aiosmtpd, go-smtp and the canned baseline, interleaved; writes results/peers/
	cd bench/peers && $(GO) build $(VCS) -o ../../bin/ ./cmd/...
	bin/benchpeers $(PEERS)

bench-k6: build ## k6 with the extension beside smtp-source, interleaved: CPU, rate, memory; writes results/k6/
	cd bench/peers && $(GO) build $(VCS) -o ../../bin/ ./cmd/...
	bin/benchk6 $(PEERS)

fleet-check: go-version ## three k6 and two sinks, each in a network namespace as a host of its own, 30,000 messages (FLEET_MESSAGES), root; writes results/fleet/
	FLEET_MESSAGES=$(FLEET_MESSAGES) FLEET_OUT=$(CURDIR)/results/fleet REQUIRE_ALL=1 $(GO) test -count=1 -v -run '^TestFleet$$' -timeout 15m ./bench/cmd

soak: build ## a sink under everything at once for an hour (SOAK_DURATION=60m): flat memory, nothing leaked, all messages accounted for; writes results/soak/
	cd bench/peers && $(GO) build $(VCS) -o ../../bin/ ./cmd/benchsoak
	bin/benchsoak --duration $(SOAK_DURATION) --out results/soak $(SOAK)

bench-curves: build ## the sink's cost over connections, message size, recipients and rules; writes results/curves/
	cd bench/peers && $(GO) build $(VCS) -o ../../bin/ ./cmd/...
	bin/benchpeers --curves $(PEERS)

calibrate: go-version ## check by simulation that comparisons err as seldom as they say (minutes); writes results/calibration/
	scripts/record-calibration.sh

r-vectors: ## make the vectors that bench/stat is tested with anew (apt-get install r-base-core r-cran-coin r-cran-survival)
	cd bench/stat/testdata && for script in *.R; do echo "$$script"; Rscript "$$script" > "$${script%.R}.csv.new"; mv "$${script%.R}.csv.new" "$${script%.R}.csv"; done

rediscover: build ## known bugs of old senders, met by storms: the old version fails and the new one passes (six minutes, npm and the network)
	scripts/rediscover.sh

CURL_SOURCE ?= http://deb.debian.org/debian/pool/main/c/curl/curl_7.88.1.orig.tar.gz
suites: go-version ## which scripted servers of curl's test suite (fetched from Debian) and of Exim's (EXIM=its directory) a plan can be: docs/suites.md
	@d=$$(mktemp -d) && trap 'rm -rf "$$d"' EXIT && curl -fsS "$(CURL_SOURCE)" | tar -xz -C "$$d" && \
	  $(GO) test -count=1 ./sink/sinktest/suites -run 'TestServers|TestSources' -v -args -curl "$$(echo "$$d"/*)" $(if $(EXIM),-exim "$(abspath $(EXIM))")

docs: go-version ## make docs/reference anew from the code: commands, plan keys, metrics, control API, exit statuses
	SMTPSTORM_WRITE_DOCS=1 $(GO) test -count=1 -vet=off -run '^TestReference$$' ./docs ./xk6smtp

report-picture: ## docs/report.png, the picture of the README, of results/latest/report.html (make run makes it; needs chromium)
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1240,1720 --screenshot="$(CURDIR)/docs/report.png" "file://$(CURDIR)/results/latest/report.html"

fuzz: go-version ## every fuzz target for FUZZTIME (30s) each
	@for package in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$package 2>/dev/null | grep '^Fuzz' || true); do \
	    echo "== $$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$package; \
	  done; \
	done
	@echo "== a million histories, judged twice"; SMTPSTORM_HISTORIES=1000000 $(GO) test -run '^TestModelAgrees$$' -timeout 30m ./sink/reconcile

release: go-version ## archives for five systems, Debian packages, bills of materials, SHA256SUMS, of the checkout, into dist/
	$(GO) build -C scripts/tools/packaging -o ../../../bin/release ./release
	bin/release

package-check: go-version ## what users install: reproducible builds, the Debian package, systemd units, container recipes, go install, manifests (RELEASE_FULL=1: every system and k6, a quarter of an hour more)
	cd scripts/tools/packaging && $(GO) vet ./... && $(GO) test -count=1 $(TESTFLAGS) -timeout 60m ./...

ETCD ?= etcd
kubernetes-check: go-version ## the manifests on a real kube-apiserver, built here in some ten minutes (ETCD=path of etcd 3.4 or newer)
	@command -v $(ETCD) >/dev/null || { echo "make: no etcd: apt-get install etcd-server, or unpack that package and give ETCD=path" >&2; exit 2; }
	$(GO) build -C scripts/tools/apiserver -o ../../../bin/kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver
	cd scripts/tools/packaging && KUBE_APISERVER=$(CURDIR)/bin/kube-apiserver ETCD=$$(command -v $(ETCD)) $(GO) test -count=1 -v -run 'Manifests|SchemaRefuses' ./

xk6: go-version ## build bin/k6-xk6 the user's way, with xk6
	$(TOOL) xk6 build --k6-version v2.2.0 --with github.com/smtpstorm/xk6-smtp=. --output bin/k6-xk6

xk6-lint: go-version ## xk6 lint, community preset, over a tagged clone of HEAD; gosec and govulncheck are pinned too
	XK6_LINT=1 $(GO) test -count=1 -v -run '^TestXK6Lint$$' -timeout 15m ./docs

clean: ## remove what was built and the latest results
	rm -rf bin dist results/latest
