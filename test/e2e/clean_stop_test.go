package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A daemon that ends without pods leaves files, and nothing else of the machine's: no mount, bridge, table, cgroup or process. The next one
// begins as the first.
func TestCleanStop(t *testing.T) {
	bothModes(t, func(_ *testing.T, b *box) {
		own := strings.Replace(shell("own", forever, "volumes: [{name: memory, emptyDir: {medium: Memory}}, {name: disk, emptyDir: {}}]")+
			"    volumeMounts: [{name: memory, mountPath: /memory}, {name: disk, mountPath: /disk}]\n", "  hostNetwork: true\n", "", 1)
		for _, start := range []string{"first", "second"} {
			b.apply("pods.yaml", own+"---\n"+served("web", "app: web")+"---\n"+webService)
			b.waitReady("own")
			b.waitReady("web")
			b.apply("pods.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept}\n")
			b.waitGone("own")
			b.waitGone("web")
			b.stop(syscall.SIGTERM)
			b.eventually("nothing is left behind after the "+start+" start", func() error { // the keeper sees the daemon's end, and follows
				if left := append(b.leftovers(), b.stillMounted()...); len(left) > 0 {
					return fmt.Errorf("left are:\n%s", strings.Join(left, "\n"))
				}
				return nil
			})
			b.start()
		}
	})
}

// stillMounted are the box's mounts but for those of a containerd of its own.
func (b *box) stillMounted() []string {
	return slices.DeleteFunc(b.mounts(), func(m string) bool { return strings.HasPrefix(m, b.path("containerd-")) })
}
