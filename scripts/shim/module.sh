#!/usr/bin/env bash
# Prepares the build of containerd's shim with what Solopod changes in it: see rest.go. It makes a copy of containerd's
# module in .cache with that change, and a go.mod beside it that uses the copy. Prints the path of that go.mod.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$PWD/.cache/shim
rm -rf "$out"
mkdir -p "$out"
go mod download github.com/containerd/containerd/v2
cp -r "$(go list -m -f '{{.Dir}}' github.com/containerd/containerd/v2)" "$out/containerd"
chmod -R u+w "$out/containerd"
changed=$out/containerd/pkg/shim
sed -i 's/for range time\.Tick(30 \* time\.Second) {/for range Rests {/' "$changed/shim.go"
if ! grep -q 'range Rests' "$changed/shim.go"; then
	echo "containerd's pkg/shim/shim.go no longer has the loop that scripts/shim changes; look at its setRuntime" >&2
	exit 1
fi
cp scripts/shim/rest.go "$changed/rests.go"
cp go.mod go.sum "$out/"
go mod edit -replace "github.com/containerd/containerd/v2=./.cache/shim/containerd" "$out/go.mod"
echo "$out/go.mod"
