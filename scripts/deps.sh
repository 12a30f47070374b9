#!/usr/bin/env bash
# Installs what is missing, with apt: for "run" an OCI runtime and CNI plugins, for "test" and "bench" also the peers.
set -euo pipefail

missing=()
need() { # need FILE PACKAGE: the package is wanted when none of the files in FILE exists
	for f in $1; do
		if [ -e "$f" ] || command -v "$f" >/dev/null 2>&1; then return; fi
	done
	missing+=("$2")
}

need "go /usr/local/go/bin/go" golang-go
need git git
need runc runc
need "/usr/lib/cni/bridge /opt/cni/bin/bridge" containernetworking-plugins
need curl curl
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
	;;&
test)
	need mkfs.ext4 e2fsprogs
	need iptables-legacy iptables
	need minisign minisign
	need ssh-keygen openssh-client
	need "chromium-headless-shell chromium" chromium-headless-shell
	need /usr/share/fonts/truetype/dejavu fonts-dejavu-core
	;;
bench)
	need podman podman
	need catatonit catatonit
	;;
esac

if [ ${#missing[@]} -gt 0 ]; then
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "please install: ${missing[*]} (there is no apt-get here)" >&2
		exit 1
	fi
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
unpack() { # unpack FILE PACKAGE: into .cache/PACKAGE
	local dir=.cache/$2
	if [ -e "$dir/$1" ] || command -v "$(basename "$1")" >/dev/null 2>&1; then return; fi
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "please install: $2 (there is no apt-get here)" >&2
		exit 1
	fi
	echo "unpacking $2"
	rm -rf "$dir" && mkdir -p "$dir"
	(cd "$dir" && { apt-get -qq download "$2" 2>/dev/null || { apt-get -qq update && apt-get -qq download "$2"; }; } && dpkg-deb -x ./*.deb . && rm ./*.deb)
}
if [ "${1:-run}" = test ]; then
	unpack usr/bin/prometheus prometheus
fi
if ! go version >/dev/null 2>&1; then
	echo "Go is not in PATH; Solopod needs Go 1.21 or later (it fetches the version that go.mod names by itself)" >&2
	exit 1
fi
