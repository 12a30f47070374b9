package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestSettingsOfTheMachine: what is set of the machine's network is looked at before anything begins.
func TestSettingsOfTheMachine(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config)
		says   string
	}{
		"by default":                {func(*config) {}, ""},
		"an address":                {func(c *config) { c.NodeIP = "192.0.2.1" }, ""},
		"of both families":          {func(c *config) { c.NodeIP = "192.0.2.1,2001:db8::1" }, ""},
		"loopback":                  {func(c *config) { c.NodeIP = "127.0.0.1" }, "nodeIP"},
		"a name":                    {func(c *config) { c.NodeIP = "eth0" }, "nodeIP"},
		"no resolver configuration": {func(c *config) { c.ResolvConf = "" }, ""},
		"a relative one":            {func(c *config) { c.ResolvConf = "resolv.conf" }, "resolvConf must be an absolute path"},
		"another one":               {func(c *config) { c.ResolvConf = "/run/resolv.conf" }, ""},
	} {
		set := defaults()
		c.change(&set)
		if err := set.validate(); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPolicySettings: what a slip of the pen would lose is an error that says which word was meant.
func TestPolicySettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	for text, says := range map[string]string{
		"podSecurity: baseline": "",
		"podSecurity: {enforce: baseline, warn: restricted, namespaces: {kube-system: privileged}}": "",
		"policy: {privileged: false, hostPaths: []}":                                                "",
		"seccompDefault: true":        "",
		"":                            "",
		"podSecurity: basline":        `podSecurity: enforce is privileged, baseline or restricted, not "basline"`,
		"podSecurty: baseline":        `unknown field "podSecurty"; did you mean "podSecurity"?`,
		"podSecurity:":                "has no value",
		"policy:":                     "has no value",
		"policy: {hostPath: []}":      `unknown field "hostPath"; did you mean "hostPaths"?`,
		"policy: {images: ['web:1']}": "policy.images[0]",
		"policy: []":                  "expected an object",
		"seccompDefault: on-demand":   "seccompDefault: expected true or false, without quotes, found a text",
		"seccompDefault:":             "seccompDefault has no value",
		"manifestKeyFile:":            "manifestKeyFile has no value",
		"auditLog:":                   "auditLog has no value",
		"nodeIP:":                     "",
		`podSecurity: ""`:             "expected an object",
		`podSecurity: {enforce: ""}`:  "podSecurity: enforce has no value",
		"podsecurity: strict":         "podSecurity: enforce is",
		"policy: {privileged: 'no'}":  "policy: privileged: expected true or false, without quotes, found a text",
		"policy: {hostPorts: 80}":     "policy: hostPorts: expected a list like [a, b], found a number",
		"allowedHosts: box":           "allowedHosts: expected a list",
		"shutdownGracePeriod: 30":     "shutdownGracePeriod is a duration like 30s or 1m30s, not 30",
		"shutdownGracePeriod: 30 s":   "shutdownGracePeriod is a duration",
		"[podSecurity]":               "expected settings",
		"podSecurity: baseline\npodSecurity: privileged":        "already set",
		"podSecurity: baseline\npodsecurity: privileged":        "podSecurity is set twice",
		"---\npodSecurity: baseline\n---\n# nothing\n":          "",
		"listen: ''\n---\npodSecurity: baseline\n":              "line 3: a second document",
		"# nothing\n---\nlisten: ''\n---\nseccompDefault: true": "line 5: a second document",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := loadConfig(file, ofDaemon, pflag.NewFlagSet("", pflag.ContinueOnError))
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, not %q", text, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "json:") {
			t.Errorf("%q: %v: that is no advice", text, err)
		}
	}
}
