#!/usr/bin/env bash
# Brings a real pod up and shows it. With PROVE=1 it also kills it, sees it come back, removes it, and exits: 0 when all
# of that worked. Everything lies in one temporary directory. However it ends - Ctrl-C, SIGTERM, a terminal that is closed - it
# leaves nothing: no pod, process, mount, bridge, table or cgroup.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

if [ "$(id -u)" -ne 0 ]; then
	echo "please run this as root: it makes namespaces, mounts and cgroups" >&2
	exit 1
fi

dir=
daemon=
shown= # set when there is nothing more to do than to wait
# Whose terminal is closed is told so as the leader of its session only, which may be make. That passes on no SIGHUP: a descriptor is
# looked at. Which one is seen now, as the terminal may be closed at any time.
terminal=
for fd in 0 1 2; do if [ -t $fd ]; then terminal=$fd; fi; done
say() { printf '\n== %s\n' "$*"; }
fail() {
	printf '\nFAILED: %s\n-- the daemon said:\n' "$*" >&2
	tail -n 40 "$dir/output" >&2 || true
	exit 1
}

# await SECONDS COMMAND: repeat the command until it succeeds.
await() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		if [ $SECONDS -ge $end ]; then return 1; fi
		sleep 0.1
	done
}

# The daemon has a session of its own: Ctrl-C and a terminal that is closed tell this script alone, and it needs the daemon to remove
# the pod.
start() {
	setsid bin/solopod run --manifests "$dir/manifests" --images "$dir/images" --root "$dir/root" --state "$dir/state" \
		--log-dir "$dir/log" --socket "$SOLOPOD_SOCKET" --listen "" --cni-conf-dir "$dir/cni" >>"$dir/output" 2>&1 </dev/null &
	daemon=$!
}
runs() { [ -n "$daemon" ] && kill -0 "$daemon" 2>/dev/null; }
ended() { ! runs; }
gone() {
	local pods
	pods=$(bin/solopod get pods -A -o name 2>/dev/null) && [ -z "$pods" ]
}
# The environment may name a proxy, which the builds need; it knows no pods.
curl() { command curl --noproxy '*' --max-time 10 "$@"; }
ask() { curl -sf --unix-socket "$SOLOPOD_SOCKET" "http://solopod$1"; }
answers() { ask /readyz >/dev/null; }

# companions lists the processes that outlive the daemon while there are pods: the shim, the keeper of output, the server of names.
companions() { grep -ls "${dir/\//[/]}/state" /proc/[0-9]*/cmdline; } # the brackets keep grep from finding itself
alone() { ! companions >/dev/null; }
# mounted lists what is mounted below the directory, the innermost first.
mounted() { awk -v dir="$dir/" '{ gsub(/\\040/, " ", $5) } index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r; }

# shellcheck disable=SC2317
finish() {
	local code=$?
	# A second signal does not cut the end off, nor what is started here: a terminal that is closed sends two.
	trap '' INT QUIT TERM HUP PIPE
	trap - EXIT
	set +e
	[ -n "$dir" ] || exit "$code"
	if [ -n "$daemon" ]; then
		if [ "$code" != 0 ] || [ -n "$shown" ]; then say "Stopping: the pod, the daemon and the directory go"; fi
		rm -f "$dir"/manifests/* "$dir"/manifests/.[!.]*
		runs || start # it was killed, or ended by itself; only a daemon removes pods as they should be
		if await 20 answers && await 40 gone; then :; else
			echo "the pod did not go; the daemon said:" >&2
			tail -n 20 "$dir/output" >&2
			code=1
		fi
		kill "$daemon" 2>/dev/null
		await 15 ended || kill -KILL "$daemon" 2>/dev/null
		while runs; do wait "$daemon"; done 2>/dev/null
	fi
	await 10 alone || echo "still running: $(companions)" >&2
	local left
	left=$(mounted)
	if [ -n "$left" ]; then
		echo "still mounted were: $left" >&2
		while read -r left; do umount -l "$left"; done <<<"$left"
		code=1
	fi
	rm -rf --one-file-system "$dir"
	exit "$code"
}
trap finish EXIT
# stop NUMBER: a signal came. A proof that was cut off is none; where the pod is shown, that is how it ends.
stop() {
	if [ -n "$shown" ]; then exit 0; fi
	exit $((128 + $1))
}
trap 'stop 1' HUP
trap 'stop 2' INT
trap 'stop 3' QUIT
trap 'stop 13' PIPE
trap 'stop 15' TERM

dir=$(mktemp -d "${TMPDIR:-/tmp}/solopod-demo.XXXXXX")
dir=$(realpath "$dir") # as the kernel names what is mounted there
export SOLOPOD_SOCKET=$dir/socket
mkdir "$dir/manifests" "$dir/images" "$dir/log" "$dir/cni"

say "Packing the example web service as an image archive (no registry is needed)"
bin/pack -o "$dir/images/web.tar" -name solopod.example/web:1 -entrypoint /web bin/web:/web
ls -sh "$dir/images/web.tar"

say "Starting Solopod; containerd runs inside it"
start
await 20 answers || fail "Solopod did not become ready"

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
	shown=1
	while runs; do
		if [ -n "$terminal" ] && ! [ -t "$terminal" ]; then exit 0; fi
		sleep 0.3
	done
	fail "the daemon has ended"
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
start
await 20 ready || fail "Solopod did not come back"
[ "$(field containerID)" = "$before" ] || fail "the container was replaced"
bin/solopod get pods

say "Removing the manifest: the pod goes"
rm "$dir/manifests/web.yaml"
await 40 gone || fail "the pod did not go"
bin/solopod get pods -A
say "PROVED: the pod ran, answered, was measured, restarted, adopted and removed"
