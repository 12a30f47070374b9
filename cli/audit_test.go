package cli

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/solopod/solopod/inspection"
	"github.com/solopod/solopod/manifests/policy"
)

// The settings that audit judges by have the names that the configuration has: what is set is not asked for.
func TestAuditedSettings(t *testing.T) {
	asked := func(c config) (out []string) {
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var s inspection.Settings
		if err := json.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		for _, f := range inspection.Judge(&inspection.Facts{Settings: s}, nil).Findings {
			if slices.Contains([]string{"plain-port-exposed", "plain-port-read", "tls-nobody", "pod-security", "policy", "seccomp-default", "signatures", "audit-nowhere"}, f.ID) {
				out = append(out, f.ID)
			}
		}
		slices.Sort(out)
		return out
	}
	open := defaults()
	open.Listen, open.PlainPort, open.TLSListen, open.LogLevel = "0.0.0.0:1", plainRead, "0.0.0.0:2", "error"
	want := []string{"audit-nowhere", "plain-port-exposed", "plain-port-read", "pod-security", "policy", "seccomp-default", "signatures", "tls-nobody"}
	if got := asked(open); !slices.Equal(got, want) {
		t.Errorf("where nothing is set: %v, not %v", got, want)
	}
	set := defaults()
	set.TLSListen, set.ClientCAFile, set.LogLevel, set.AuditLog = "0.0.0.0:2", "/ca", "error", "/audit"
	set.PodSecurity, set.Policy, set.SeccompDefault = policy.PodSecurity{Enforce: "baseline"}, policy.Rules{Devices: []string{}}, true
	set.ManifestKeyFile = "/keys"
	if got := asked(set); len(got) > 0 {
		t.Errorf("what is set is asked for: %v", got)
	}
}
