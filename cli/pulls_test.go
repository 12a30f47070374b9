package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What the file says of pulls counts, and what is wrong there is told with its place.
func TestPullSettings(t *testing.T) {
	_, load := settingsFile(t)
	for text, want := range map[string]int{
		"{}":                        3,
		"serializeImagePulls: true": 1,
		"maxParallelImagePulls: 8":  8,
		"imagePullOffline: refuse":  3,
		"registryConfigDir: \"\"":   3,
		"registryConfigDir: /etc/x": 3,
	} {
		c, err := load(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		s, err := imageSettings(&c)
		if err != nil || s.Parallel != want || s.Registries == nil || s.Providers != nil || s.Offline != c.ImagePullOffline {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
	for text, want := range map[string]string{
		"imagePullOffline: maybe":                                "imagePullOffline: \"maybe\" is not ran, present or refuse",
		"registryConfigDir: certs.d":                             "registryConfigDir: \"certs.d\" is not an absolute path",
		"maxParallelImagePulls: 0":                               "maxParallelImagePulls: \"0\" is not a number from 1 on",
		"serializeImagePulls: true\nmaxParallelImagePulls: 2":    "serializeImagePulls has one image pulled at a time",
		"imageCredentialProviderBinDir: /usr/libexec/credential": "go together",
		"imageCredentialProviderConfig: /etc/x":                  "go together",
	} {
		if _, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// A configuration of credential providers that is wrong is told with its path at the start.
func TestProviderSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "providers.yaml")
	c := defaults()
	c.ImageCredentialProviderConfig, c.ImageCredentialProviderBinDir = path, t.TempDir()
	if _, err := imageSettings(&c); err == nil || !strings.Contains(err.Error(), "imageCredentialProviderConfig: ") {
		t.Errorf("there is none: %v", err)
	}
	if err := os.WriteFile(path, []byte("kind: Pod\napiVersion: v1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := imageSettings(&c); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("it is something else: %v", err)
	}
}
