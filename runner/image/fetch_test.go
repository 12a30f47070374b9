package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/engine/remote"
	"github.com/solopod/solopod/runner/image/provider"
)

// A name is asked for at its registry, one by its digest is not; what is the newest is for the registry to say.
func TestNewest(t *testing.T) {
	var asked []string
	s := &Store{settings: Settings{Digest: func(_ context.Context, name string, _ remote.Login) (string, error) {
		asked = append(asked, name)
		return "sha256:b", nil
	}}}
	digest := "sha256:" + strings.Repeat("a", 64)
	for _, test := range []struct {
		ref, present string
		want         bool
	}{{"app", "sha256:a", false}, {"app", "sha256:b", true}, {"app@" + digest, digest, true}, {"app:1@" + digest, digest, true}} {
		same, err := s.Newest(t.Context(), test.ref, engine.Image{Digest: test.present}, nil)
		if err != nil || same != test.want {
			t.Errorf("%s, %s: %t, %v", test.ref, test.present, same, err)
		}
	}
	if strings.Join(asked, " ") != "docker.io/library/app:latest docker.io/library/app:latest" {
		t.Errorf("asked for: %q", asked)
	}
}

// A plugin is asked for the registry's login alone, where the pod has none, and what it says is in no error.
func TestProviderLogin(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\necho '{\"kind\":\"CredentialProviderResponse\",\"apiVersion\":\"credentialprovider.kubelet.k8s.io/v1\",\"cacheKeyType\":\"Image\"," +
		"\"auth\":{\"registry.example\":{\"username\":\"box\",\"password\":\"hunter22\"}}}'\n"
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	providers, err := provider.Parse([]byte("apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: key\n"+
		"  matchImages: [registry.example]\n  defaultCacheDuration: 1h\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n"), dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{settings: Settings{Providers: providers}}
	for _, test := range []struct {
		name, host string
		logins     Credentials
		want       string
	}{
		{"registry.example/app:1", "registry.example", nil, "box hunter22"},
		{"registry.example/app:1", "registry.example", Credentials{"registry.example": {User: "pod", Password: "own"}}, "pod own"},
		{"registry.example/app:1", "mirror.example", nil, " "},
		{"other.example/app:1", "other.example", nil, " "},
	} {
		login, hide := s.asked(t.Context(), test.name, test.logins.For)
		user, password, err := login(test.host)
		if err != nil || user+" "+password != test.want {
			t.Errorf("%s at %s: %s %s, %v", test.name, test.host, user, password, err)
		}
		failed := fmt.Errorf("%w: %s", engine.ErrNotFound, password)
		if err := hide(failed); test.want == "box hunter22" && strings.Contains(err.Error(), "hunter22") || !errors.Is(err, engine.ErrNotFound) {
			t.Error(err)
		}
	}
}
