package stored

import "testing"

func TestDigestName(t *testing.T) {
	for name, want := range map[string]string{
		"docker.io/library/busybox:1":                "docker.io/library/busybox@sha256:2",
		"localhost:5000/app":                         "localhost:5000/app@sha256:2",
		"localhost:5000/app:1":                       "localhost:5000/app@sha256:2",
		"docker.io/library/busybox@sha256:2":         "docker.io/library/busybox@sha256:2",
		"docker.io/library/busybox:1@sha256:another": "docker.io/library/busybox@sha256:2",
	} {
		if got := (Image{Name: name, Digest: "sha256:2"}).DigestName(); got != want {
			t.Errorf("%s: %s, not %s", name, got, want)
		}
	}
}
