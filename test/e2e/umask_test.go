package e2e

import (
	"os"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// The umask of the shell that starts the daemon closes no image and no file to the users of containers.
func TestUmask(t *testing.T) {
	t.Parallel()
	b := prepareBox(t, embedded)
	b.namespaces = []string{"sh", "-c", `umask 077; exec "$@"`, "sh"}
	b.link(imageArchive, "images/box.tar")
	b.start()
	b.apply("pod.yaml", shell("user", "stat -c %a / /bin /mnt && cat /etc/hosts /etc/resolv.conf >/mnt/read && touch /dev/shm/mine && umask && echo all",
		"restartPolicy: Never\nsecurityContext: {runAsUser: 1000, runAsGroup: 1000}\nvolumes: [{name: own, emptyDir: {}}]")+"    volumeMounts: [{name: own, mountPath: /mnt}]\n")
	b.waitPod("user", "at its end", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed })
	if out := b.run("logs", "user"); out != "755\n755\n777\n0022\nall\n" {
		t.Errorf("a container of another user prints %q", out)
	}
	for name, want := range map[string]os.FileMode{"log/pods": 0o755, "log/containers": 0o755, "state": 0o711, "root": 0o711, "root/pods": 0o700, "socket": 0o660} {
		info, err := os.Stat(b.path(name))
		if err != nil {
			t.Error(err)
		} else if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has the mode %o, not %o", name, got, want)
		}
	}
}
