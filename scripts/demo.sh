#!/usr/bin/env bash
# Brings a real pod up and shows it. With PROVE=1 it also kills it, sees it come back, removes it, and exits: 0 when all
# of that worked. Everything lies in one temporary directory, which goes at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
	echo "please run this as root: it makes namespaces, mounts and cgroups" >&2
	exit 1
fi

dir=$(mktemp -d /tmp/solopod-demo.XXXXXX)
export SOLOPOD_SOCKET=$dir/socket
daemon=
say() { printf '\n== %s\n' "$*"; }
fail() {
	printf '\nFAILED: %s\n-- the daemon said:\n' "$*" >&2
	tail -n 40 "$dir/output" >&2 || true
	exit 1
}

# shellcheck disable=SC2317
finish() {
	code=$?
	trap - EXIT INT TERM
	rm -f "$dir"/manifests/*
	if [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; then
		gone() { [ -z "$(bin/solopod get pods -A -o name 2>/dev/null)" ]; }
		await 40 gone || echo "the pod did not go; look at $dir/output" >&2
		kill "$daemon"
		wait "$daemon" || true
	fi
	umount "$dir/state/pods" 2>/dev/null || true
	rm -rf "$dir"
	exit "$code"
}
trap finish EXIT
trap 'exit 0' INT TERM

# await SECONDS COMMAND: repeat the command until it succeeds.
await() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		if [ $SECONDS -ge $end ]; then return 1; fi
		sleep 0.1
	done
}

mkdir "$dir/manifests" "$dir/images" "$dir/log" "$dir/cni"

say "Packing the example web service as an image archive (no registry is needed)"
bin/pack -o "$dir/images/web.tar" -name solopod.example/web:1 -entrypoint /web bin/web:/web
ls -sh "$dir/images/web.tar"

say "Starting Solopod; containerd runs inside it"
bin/solopod run --manifests "$dir/manifests" --images "$dir/images" --root "$dir/root" --state "$dir/state" \
	--log-dir "$dir/log" --socket "$SOLOPOD_SOCKET" --listen "" --cni-conf-dir "$dir/cni" >"$dir/output" 2>&1 &
daemon=$!
ask() { curl -sf --unix-socket "$SOLOPOD_SOCKET" "http://solopod$1"; }
await 20 ask /readyz >/dev/null || fail "Solopod did not become ready"

say "Dropping a manifest into the directory: examples/manifests/web.yaml"
cp examples/manifests/web.yaml "$dir/manifests/.web.yaml"
mv "$dir/manifests/.web.yaml" "$dir/manifests/web.yaml"

field() { bin/solopod get pods web -o json 2>/dev/null | tr -d ' ",' | sed -n "s/^$1://p" | head -n 1; }
ready() { bin/solopod get pods web 2>/dev/null | grep -q '1/1.*Running'; }
await 30 ready || fail "the pod did not become ready"
bin/solopod get pods -o wide

address=$(field podIP)
say "The pod is Running and Ready. It answers at http://$address:8080/"
curl -sf "http://$address:8080/" || fail "the pod does not answer"

say "Its CPU time and memory, as Prometheus metrics"
metrics() { ask /metrics/cadvisor | grep -E '^container_(cpu_usage_seconds_total|memory_working_set_bytes)\{container="web"'; }
metrics || fail "there are no metrics of the pod"

say "Its log"
bin/solopod logs web

if [ "${PROVE:-}" != 1 ]; then
	say "Everything lies in $dir. In another terminal try:"
	cat <<-TEXT
		  export SOLOPOD_SOCKET=$SOLOPOD_SOCKET
		  bin/solopod get pods -w
		  bin/solopod describe pod web
		  bin/solopod get events
		  curl -X POST http://$address:8080/exit       # it comes back at once; the next time after 10 s
		  curl -X POST http://$address:8080/allocate   # the kernel kills it for memory
		  rm $dir/manifests/web.yaml                   # the pod goes

		To stop press Ctrl-C: the pod, the daemon and the directory go.
	TEXT
	wait "$daemon" || true
	exit 0
fi

say "Killing its process: it comes back"
restarts() { field restartCount; }
curl -s -X POST "http://$address:8080/exit" >/dev/null || true
back() { [ "$(restarts)" = 1 ] && ready; }
await 30 back || fail "the pod did not come back"
bin/solopod get pods
curl -sf "http://$address:8080/" || fail "the pod does not answer after its restart"

say "Killing Solopod itself (kill -9): the pod runs on, and the next Solopod adopts it"
before=$(field containerID)
kill -9 "$daemon"
wait "$daemon" 2>/dev/null || true
curl -sf "http://$address:8080/" || fail "the pod does not answer while Solopod is away"
bin/solopod run --manifests "$dir/manifests" --images "$dir/images" --root "$dir/root" --state "$dir/state" \
	--log-dir "$dir/log" --socket "$SOLOPOD_SOCKET" --listen "" --cni-conf-dir "$dir/cni" >>"$dir/output" 2>&1 &
daemon=$!
await 20 ready || fail "Solopod did not come back"
[ "$(field containerID)" = "$before" ] || fail "the container was replaced"
bin/solopod get pods

say "Removing the manifest: the pod goes"
rm "$dir/manifests/web.yaml"
gone() { [ -z "$(bin/solopod get pods -A -o name)" ]; }
await 40 gone || fail "the pod did not go"
bin/solopod get pods -A
say "PROVED: the pod ran, answered, was measured, restarted, adopted and removed"
