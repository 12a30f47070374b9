package cli

import (
	"strings"
	"testing"
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
