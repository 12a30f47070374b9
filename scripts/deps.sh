#!/usr/bin/env bash
# Installs what is missing, with apt: for "run" an OCI runtime and CNI plugins, for "test" and "bench" also the peers, for "shop" what the
# images of examples/shop are made of. "go" installs nothing; like the others it sees to it that Go can build the tree, or says what to do.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.cache/go/bin:$PATH:/usr/local/go/bin # as in the Makefile

missing=()
need() { # need FILE PACKAGE: the package is wanted when none of the files in FILE exists
	for f in $1; do
		if [ -e "$f" ] || command -v "$f" >/dev/null 2>&1; then return; fi
	done
	missing+=("$2")
}

if [ "${1:-run}" != go ]; then
	need go golang-go
	need /etc/ssl/certs/ca-certificates.crt ca-certificates
	need git git
	need runc runc
	need "/usr/lib/cni/bridge /opt/cni/bin/bridge" containernetworking-plugins
	need curl curl
fi
case "${1:-run}" in
vm)
	need debootstrap debootstrap
	need qemu-system-x86_64 qemu-system-x86
	need qemu-img qemu-utils
	need mke2fs e2fsprogs
	need /bin/busybox busybox-static
	;;
test | bench)
	need gcc gcc
	need /usr/include/stdio.h libc6-dev
	need containerd containerd
	need /bin/busybox busybox-static
	need etcd etcd-server
	need etcdctl etcd-client
	need nft nftables
	need ip iproute2
	;;&
test)
	need mkfs.ext4 e2fsprogs
	need iptables-legacy iptables
	need dig bind9-dnsutils
	need musl-gcc musl-tools
	need minisign minisign
	need ssh-keygen openssh-client
	need tmux tmux
	need "chromium-headless-shell chromium" chromium-headless-shell
	need /usr/share/fonts/truetype/dejavu fonts-dejavu-core
	;;
bench)
	need podman podman
	need catatonit catatonit
	need iperf3 iperf3
	;;
esac

byApt() { # byApt PACKAGE...: ends where there is no apt
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "please install: $* (there is no apt-get here)" >&2
		exit 1
	fi
}
if [ ${#missing[@]} -gt 0 ]; then
	byApt "${missing[@]}"
	echo "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	if ! { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
		cat "$log" >&2
		exit 1
	fi
fi
# Of some packages only the files are wanted: installed, they would run a service.
fetch() { # fetch DIR PACKAGE: the package's files into the directory
	byApt "$2"
	echo "unpacking $2"
	mkdir -p "$1"
	(cd "$1" && { apt-get -qq download "$2" 2>/dev/null || { apt-get -qq update && apt-get -qq download "$2"; }; } && dpkg-deb -x "$2"_*.deb . && rm "$2"_*.deb)
}
unpack() { # unpack FILE PACKAGE: into .cache/PACKAGE, where the machine has no such program
	local dir=.cache/$2
	if [ -e "$dir/$1" ] || command -v "$(basename "$1")" >/dev/null 2>&1; then return; fi
	rm -rf "$dir"
	fetch "$dir" "$2"
}
# shop: Redis and HAProxy, and what they need that the machine does not have, into .cache/shop.
shop() {
	local dir=.cache/shop
	if [ -e "$dir/whole" ]; then return; fi
	byApt redis-tools haproxy
	rm -rf "$dir"
	local package packages library
	packages=$(with redis-tools haproxy 2>/dev/null) || { apt-get -qq update && packages=$(with redis-tools haproxy); }
	for package in $(printf '%s\n' redis-tools haproxy $packages | sort -u); do fetch "$dir" "$package"; done
	library=$(LD_LIBRARY_PATH=$PWD/$dir/usr/lib/$(uname -m)-linux-gnu ldd $dir/usr/bin/redis-check-rdb $dir/usr/sbin/haproxy | sed -n 's/^\s*\(\S*\) => not found/\1/p')
	if [ -n "$library" ]; then
		echo "Redis or HAProxy of $dir needs" $library "and apt does not know that" >&2
		exit 1
	fi
	touch "$dir/whole"
}
with() { # with PACKAGE...: what apt would install along with them
	local plan
	plan=$(apt-get -qq -s install --no-install-recommends "$@") && sed -n 's/^Inst \(\S*\).*/\1/p' <<<"$plan"
}
case "${1:-run}" in
test)
	unpack usr/bin/prometheus prometheus
	shop
	;;
vm | shop) shop ;;
esac
# Go of 1.21 and later fetches the version that go.mod names by itself. What is older, as Debian 12's, can fetch it too: it is a module,
# checked against the checksum database as any other. It stays in Go's module cache, and make finds it by .cache/go.
wanted=$(sed -n 's/^go //p' go.mod)
outside() (cd / && GOFLAGS='' go "$@") # what go.mod wants does not matter there
toolchain() {
	local dir
	dir=$(outside env GOMODCACHE)/golang.org/toolchain@v0.0.1-go$wanted.$(outside env GOOS)-$(outside env GOARCH)
	if [ ! -e "$dir/VERSION" ]; then
		echo "fetching Go $wanted ($(outside env GOVERSION) is too old to do so by itself)"
		outside mod download "${dir#*/mod/}" || return 1
	fi
	chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/* || return 1 # modules have no programs
	mkdir -p .cache && ln -sfn "$dir" .cache/go
}
if ! command -v go >/dev/null 2>&1; then
	echo "Go is missing: run \"make deps\" as root, or install Go 1.21 or later (https://go.dev/dl), which fetches Go $wanted by itself" >&2
	exit 1
fi
if ! why=$(go list -m 2>&1 >/dev/null); then
	case $(outside env GOVERSION) in
	go1.1[0-9]* | go1.20*) toolchain || why= ;;
	esac
	if ! go list -m >/dev/null 2>&1; then
		echo "Solopod needs Go $wanted, and $(outside env GOVERSION) could not fetch it${why:+: ${why##*$'\n'}}; connect this machine to Go's module proxy (go env GOPROXY) and let Go choose its version (GOTOOLCHAIN=auto), or install Go $wanted (https://go.dev/dl)" >&2
		exit 1
	fi
fi
