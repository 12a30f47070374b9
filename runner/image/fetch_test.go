package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// A pull waits for a registry that a starting container would not wait for: a far one, too, says which image it has.
func TestUpdateIsPatient(t *testing.T) {
	s, _ := shop(t)
	s.settings.Digest = func(ctx context.Context, _ string, _ remote.Login) (string, error) {
		select {
		case <-time.After(20 * time.Second):
			return digestOf("1"), nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	present := engine.Image{Name: "docker.io/library/app:1", Digest: digestOf("1")}
	synctest.Test(t, func(t *testing.T) {
		if _, err := s.Newest(t.Context(), "app:1", present, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a start waits: %v", err)
		}
		if got, err := s.Update(t.Context(), "app:1", nil); err != nil || got.Digest != present.Digest {
			t.Errorf("a pull does not wait: %v, %v", got, err)
		}
	})
}

// A plugin that fails is no answer of the registry's, which has not said no.
func TestProviderFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	providers, err := provider.Parse([]byte("apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: key\n"+
		"  matchImages: [registry.example]\n  defaultCacheDuration: 1h\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n"), dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{settings: Settings{Providers: providers, Digest: func(_ context.Context, _ string, login remote.Login) (string, error) {
		_, _, err := login("registry.example")
		return "", fmt.Errorf("cannot log in: %w", err)
	}}}
	_, err = s.Newest(t.Context(), "registry.example/app:1", engine.Image{}, nil)
	if !remote.NoAnswer(err) || !strings.Contains(err.Error(), "credential provider key: exit status 1") {
		t.Error(err)
	}
}
