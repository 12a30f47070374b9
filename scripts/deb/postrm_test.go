// Package deb tests the scripts of the Debian package.
package deb

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A machine of its own, as far as the script sees: /run, /var and /etc are copies in memory.
const machine = `
set -e
mount -t tmpfs tmpfs /var
mount -t tmpfs tmpfs /run
mkdir /var/upper /var/work /var/log /var/host
mount -t overlay overlay -o lowerdir=/etc,upperdir=/var/upper,workdir=/var/work /etc
mkdir -p /etc/solopod/manifests /var/lib/solopod/pods/u1/volumes/data/share "/var/lib/solopod/pods/u1/volumes/data/a b" /var/lib/solopod/claims/disk \
	/var/lib/solopod/containerd /run/solopod/pods/u1/binds/b /var/log/pods/default_web_u1/main/mnt /var/log/pods/default_web_u2 /var/log/containers
for at in /etc/solopod/manifests /var/lib/solopod/pods/u1/volumes/data /var/lib/solopod/containerd /run/solopod/pods/u1 /var/log/pods/default_web_u1/main \
	/var/log/pods/default_web_u2 /var/host; do
	echo kept >$at/file
done
ln -s /var/host /var/log/pods/default_link_u1
`

// purge runs the script on such a machine, prepared further, and returns what ls lists of its directories afterwards.
func purge(t *testing.T, prepare string) string {
	t.Helper()
	script, err := os.ReadFile("postrm")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", machine+prepare+"\nsh -s purge 2>&1; cat /var/host/file; find /etc/solopod /var/lib /run/solopod /var/log /var/host -type f")
	cmd.Stdin = bytes.NewReader(script)
	out, err := cmd.CombinedOutput()
	t.Logf("%v\n%s", err, out)
	if !strings.Contains(string(out), "kept\n") || !strings.Contains(string(out), "/var/host/file\n") {
		t.Error("what is mounted there, or linked to, was removed")
	}
	return string(out)
}

// A purge takes all that is Solopod's, and nothing that was mounted into it, also from the same file system.
func TestPurge(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("run the tests as root")
	}
	for name, c := range map[string]struct {
		prepare string
		left    []string // beside what is the machine's
	}{
		"nothing mounted": {"", nil},
		"left by pods":    {"mount --bind /var/host /var/lib/solopod/pods/u1/volumes/data/share; mount --bind /run/solopod/pods /run/solopod/pods; mount --bind /var/host /run/solopod/pods/u1/binds/b", nil},
		"a copy that is shared": {"mount -t tmpfs tmpfs /var/host; mount --make-shared /var/host; mkdir /var/host/inner; mount -t tmpfs tmpfs /var/host/inner; echo kept >/var/host/file; " +
			"mount --rbind /var/host /run/solopod/pods/u1/binds/b; touch /var/host/inner/file", []string{"/var/host/inner/file"}},
		"a disk": {"mount --bind /var/host /var/lib/solopod/claims/disk; mount --bind /var/host /var/log/pods/default_web_u1/main/mnt", []string{"/var/lib/solopod/claims/disk/file", "/var/log/pods/default_web_u1/main/mnt/file"}},
		"an odd name": {`mount --bind /var/host "/var/lib/solopod/pods/u1/volumes/data/a b"`,
			[]string{"/var/lib/solopod/pods/u1/volumes/data/a b/file", "/var/lib/solopod/pods/u1/volumes/data/file", "/var/lib/solopod/containerd/file"}},
		"the root itself": {"mount --bind /var/lib/solopod /var/lib/solopod", nil},
	} {
		t.Run(name, func(t *testing.T) {
			out := purge(t, c.prepare)
			_, list, _ := strings.Cut(out, "kept\n")
			want := map[string]bool{"/var/host/file": true, "/var/log/pods/default_web_u2/file": true}
			for _, file := range c.left {
				want[file] = true
			}
			for file := range strings.Lines(list) {
				if file = strings.TrimSpace(file); strings.HasPrefix(file, "/") && !want[file] {
					t.Errorf("%s is left", file)
				}
				delete(want, file)
			}
			if len(want) > 0 {
				t.Errorf("these have gone: %v", want)
			}
		})
	}
}

// programs has processes of the package's programs, and others, and lists those that are left.
const programs = `
mkdir /var/libexec /var/others
mount --bind /var/libexec /usr/libexec
mkdir /usr/libexec/solopod
for name in solopod-keep solopod-names; do
	for dir in /usr/libexec/solopod /var/others; do
		cp /bin/sleep $dir/$name
		$dir/$name 600 >/dev/null 2>&1 &
		echo $! >>$dir/pids
	done
	rm /usr/libexec/solopod/$name
done
unshare --mount --propagation private sh -c 'mount --bind /var/others /usr/libexec/solopod; exec /usr/libexec/solopod/solopod-names 600' >/dev/null 2>&1 &
echo $! >>/var/others/pids # as a container's: at the same path, elsewhere
until [ "$(readlink /proc/$!/exe)" = /usr/libexec/solopod/solopod-names ]; do sleep 0.01; done
`

// TestPurgeEnds: a purge ends what outlives the daemon, and nothing that only has its name.
func TestPurgeEnds(t *testing.T) {
	script, err := os.ReadFile("postrm")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", machine+programs+`
sh -s purge 2>&1
by() { for pid in $(cat $1/pids); do code=0; kill -9 $pid || true; wait $pid || code=$?; [ $code = $2 ] || echo "a program of $1 ended with $code"; done; }
by /usr/libexec/solopod 143 2>/dev/null # of those that have ended SIGKILL does not change that
by /var/others 137 2>/dev/null
`)
	cmd.Stdin = bytes.NewReader(script)
	out, err := cmd.CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
