package cli

import (
	"strings"
	"testing"
)

// Settings that would leave manifests unverified by a slip are refused.
func TestSigningSettings(t *testing.T) {
	for name, c := range map[string]struct{ keys, versions, says string }{
		"by default":            {"", "optional", ""},
		"keys":                  {"/etc/solopod/manifest-keys", "optional", ""},
		"versions":              {"/etc/solopod/manifest-keys", "required", ""},
		"a relative path":       {"manifest-keys", "optional", "manifestKeyFile must be an absolute path"},
		"versions without keys": {"", "required", "manifestVersions required has no meaning without manifestKeyFile"},
		"another word":          {"/etc/solopod/manifest-keys", "yes", `manifestVersions is optional or required, not "yes"`},
		"an empty word":         {"/etc/solopod/manifest-keys", "", "manifestVersions is optional or required"},
	} {
		set := defaults()
		set.ManifestKeyFile, set.ManifestVersions = c.keys, c.versions
		if err := set.validate().in(""); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
