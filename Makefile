# Solopod's build. "make help" lists the targets.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
PKG     := github.com/solopod/solopod
LDFLAGS  = -s -w -X $(PKG)/cli.version=$(VERSION) -X $(PKG)/cli.commit=$(COMMIT)
# Left out of containerd: CRI and tracing were never linked; the tags drop gRPC from the shim and btrfs and zfs support.
# Without VCS stamping, which fails in a tree of another user's; the version is in LDFLAGS.
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false
# Where scripts/deps.sh has put Go, if the machine's is too old; and where people put it themselves.
export PATH := $(CURDIR)/.cache/go/bin:$(PATH):/usr/local/go/bin

# Debian's versions begin with a digit: a tag's number, or before the first tag 0.0 with the date and the commit.
DEB_VERSION ?= $(or $(shell git describe --tags 2>/dev/null | sed 's/^v//;s/-/+/;s/-/./g'),0.0+$(shell git log -1 --format=%cd --date=format:%Y%m%d%H%M 2>/dev/null).$(COMMIT))

.PHONY: help build have-go run test unit race e2e e2e-slow race-e2e bench lint clean deps deb simulate names-load
help:
	@echo "make build   bin/solopod and its companions: containerd's shim, the keeper of containers' output, the opener of sealed specs, the server of names"
	@echo "make run     bring a pod up and show it; PROVE=1 proves it and exits"
	@echo "make test    unit tests, race detector, end-to-end tests (as root)"
	@echo "make e2e     end-to-end tests only; make e2e-slow with what takes minutes; make race-e2e with the race detector"
	@echo "make simulate N=1000000  run the pods' core in a simulated box, from as many seeds"
	@echo "make names-load  ask the DNS server 10 000 times a second, for a minute"
	@echo "make bench   measure against podman, ctr and runc, and what Services cost"
	@echo "make deb     bin/solopod.deb, the Debian package"
	@echo "make bin/shop  the images of examples/shop"
	@echo "make vm-test test on a machine with systemd and cgroup v2, in QEMU; make vm-powercut N=50 cuts its power"
	@echo "             make vm-memory MINUTES=10 keeps it short of memory"
	@echo "make lint    gofmt and golangci-lint (.golangci.yml)"
	@echo "make picture the README's pictures, from a real run"
	@echo "make clean   remove what make made"

build: bin/solopod bin/containerd-shim-runc-v2 bin/solopod-keep bin/solopod-unseal bin/solopod-names

SOURCES := $(shell find . -path ./.git -prune -o -path ./.cache -prune -o \( -name '*.go' -o -path './api/page/page.*' -o -path './api/page/index.html' \) -print) go.mod go.sum

# Go is there and can build the tree, or one sentence says what to do.
have-go:
	@scripts/deps.sh go

bin/solopod: $(SOURCES) | have-go
	$(GOBUILD) -tags no_btrfs,no_zfs,no_devmapper -ldflags '$(LDFLAGS)' -o $@ .

bin/containerd-shim-runc-v2: go.mod go.sum $(wildcard scripts/shim/*) | have-go
	$(GOBUILD) -modfile "$$(scripts/shim/module.sh)" -tags no_grpc -ldflags '-s -w' -o $@ github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2

bin/solopod-keep: $(wildcard runner/keep/wire/*.go runner/keep/solopod-keep/*.go) go.mod | have-go
	$(GOBUILD) -ldflags '-s -w' -o $@ ./runner/keep/solopod-keep

bin/solopod-unseal: $(wildcard runner/seal/*.go runner/seal/solopod-unseal/*.go runner/durable/*.go runner/foreign/*.go) go.mod | have-go
	$(GOBUILD) -ldflags '-s -w' -o $@ ./runner/seal/solopod-unseal

# The tag leaves out the API's packages, which would take more memory than all else.
bin/solopod-names: $(wildcard runner/names/*/*.go runner/keep/wire/*.go runner/served/*.go runner/rescue/*.go runner/durable/*.go runner/foreign/*.go) go.mod | have-go
	$(GOBUILD) -tags small -ldflags '-s -w' -o $@ ./runner/names/solopod-names

bin/web: examples/web/main.go | have-go
	$(GOBUILD) -ldflags '-s -w' -o $@ ./examples/web

bin/pack: $(wildcard scripts/pack/*.go) go.mod | have-go
	$(GOBUILD) -o $@ ./scripts/pack

# The images of examples/shop: Redis and HAProxy are Debian's.
bin/shop: bin/pack examples/shop/main.go examples/shop/images.sh
	rm -rf $@ $@.new
	examples/shop/images.sh $@.new
	mv $@.new $@

DEB ?= bin/solopod.deb
# Manual pages and completions come from the commands' own help.
bin/man: bin/solopod $(wildcard scripts/man/*.go)
	go run ./scripts/man $@

bin/completions: bin/solopod
	rm -rf $@ && mkdir -p $@
	for shell in bash zsh fish; do bin/solopod completion $$shell >$@/solopod.$$shell || exit 1; done

deb: build bin/man bin/completions
	ARCH=$$(go env GOARCH) DEB_VERSION='$(DEB_VERSION)' go tool -modfile=tools/nfpm.mod nfpm package --config scripts/deb/nfpm.yaml --packager deb --target $(DEB)

# A machine with systemd and cgroup v2, in QEMU. The second package is one to upgrade to. What measures answers is in vm-memory: it wants the
# whole of its machine for ten minutes.
vm-test: deps-vm deb bin/solopod-next.deb bin/web bin/pack bin/shop
	go test -count=1 -v -timeout 60m $(if $(RUN),-run '$(RUN)',-skip TestMemoryUnderFire) ./test/vm

N ?= 50
vm-powercut: deps-vm deb bin/solopod-next.deb bin/web bin/pack bin/shop
	go test -count=1 -v -timeout 0 -run TestPowerCut ./test/vm -args -cuts $(N) $(if $(SEED),-seed $(SEED))

# A machine of 512 MiB on which pods take all there is, for some minutes.
MINUTES ?= 10
vm-memory: deps-vm deb bin/solopod-next.deb bin/web bin/pack bin/shop
	go test -count=1 -v -timeout 0 -run '$(or $(RUN),TestMemory)' ./test/vm -args -minutes $(MINUTES)

bin/solopod-next.deb: bin/solopod
	$(MAKE) deb DEB_VERSION='$(DEB_VERSION).next' DEB=$@

deps:
	@scripts/deps.sh run

run: deps build bin/web bin/pack
	@PROVE='$(PROVE)' exec scripts/demo.sh

test: deps-test build bin/web bin/pack bin/shop
	go test -timeout 25m ./runner/simulation ./manifests/decode ./scripts/...
	go test -race -timeout 25m ./cli/... ./convert/... ./doctor/... ./manifests/... ./api/... ./audit/... ./bundle/... ./inspection/... ./oom/... ./monitor/... ./runner/... ./services/... ./workload/...
	go test -count=1 -timeout 45m ./test/e2e

e2e: deps-test build bin/web bin/pack bin/shop
	go test -count=1 -timeout 30m $(if $(RUN),-run '$(RUN)') ./test/e2e

# The same with the longer forms of some tests.
e2e-slow: deps-test build bin/web bin/pack bin/shop
	go test -count=1 -timeout 60m $(if $(RUN),-run '$(RUN)') ./test/e2e -args -slow

# The same against a daemon built with the race detector; a race that it tells of fails the test.
race-e2e: deps-test build bin/web bin/pack bin/shop bin/race/solopod
	go test -count=1 -timeout 60m $(if $(RUN),-run '$(RUN)') ./test/e2e -args -binary ../../bin/race/solopod -patience 3m

bin/race/solopod: $(SOURCES) bin/containerd-shim-runc-v2 bin/solopod-keep bin/solopod-unseal bin/solopod-names
	mkdir -p $(@D)
	CGO_ENABLED=1 go build -race -trimpath -tags no_btrfs,no_zfs,no_devmapper -o $@ .
	ln -sf ../containerd-shim-runc-v2 ../solopod-keep ../solopod-unseal ../solopod-names $(@D)

bench: deps-bench build bin/web bin/pack
	go run ./scripts/bench

.PHONY: deps-test deps-bench deps-vm vm-test vm-powercut vm-memory
deps-test:
	@scripts/deps.sh test
deps-vm:
	@scripts/deps.sh vm
deps-bench:
	@scripts/deps.sh bench

# What the README shows: a session on a terminal, and the page.
.PHONY: picture
picture: deps-test build bin/web bin/pack
	go run ./scripts/picture docs/pictures

lint:
	@unformatted=$$(git ls-files -z "*.go" | xargs -0 gofmt -l); test -z "$$unformatted" || { echo "gofmt needed: $$unformatted"; exit 1; }
	go tool -modfile=tools/go.mod golangci-lint run ./...

# The pods' core in a simulated box (runner/simulation): N seeds; a failing one is printed with how to see it.
simulate:
	go test -count=1 -v -timeout 0 -run 'TestSeeds$$' ./runner/simulation -args -seeds $(N) $(if $(FIRST),-first $(FIRST))

# The DNS server under 10 000 queries a second: none is lost, and nothing grows.
names-load:
	go test -count=1 -v -timeout 30m -run 'TestLoad$$' ./runner/names/server -args -load $(or $(FOR),1m)

clean:
	rm -rf bin .cache
