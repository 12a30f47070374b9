package cli

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
		"a relative one":            {func(c *config) { c.ResolvConf = "resolv.conf" }, `resolvConf: "resolv.conf" is not the absolute path of a file, or "" for none`},
		"a subnet of Services":      {func(c *config) { c.ServiceCIDR = "10.100.0.0/16,fd00:7::/112" }, ""},
		"an address of Services":    {func(c *config) { c.ServiceCIDR = "10.100.0.1" }, "serviceCIDR"},
		"ports of Services":         {func(c *config) { c.ServiceNodePortRange = "80" }, "serviceNodePortRange"},
		"a server's name":           {func(c *config) { c.ClusterDNS = []string{"dns.example"} }, "clusterDNS"},
		"a zone of others":          {func(c *config) { c.StubDomains = map[string][]string{"corp.example": {"192.0.2.53"}} }, ""},
		"a zone without a server":   {func(c *config) { c.StubDomains = map[string][]string{"corp.example": {}} }, "stubDomains"},
		"another one":               {func(c *config) { c.ResolvConf = "/run/resolv.conf" }, ""},
	} {
		set := defaults()
		c.change(&set)
		if err := set.validate().in(""); (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
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
		"seccompDefault: true":                    "",
		"":                                        "",
		"podSecurity: basline":                    `podSecurity: enforce is privileged, baseline or restricted, not "basline"`,
		"podSecurty: baseline":                    `unknown setting "podSecurty"; did you mean "podSecurity"?`,
		"podSecurity:":                            "has no value",
		"policy:":                                 "has no value",
		"policy: {hostPath: []}":                  `unknown field "hostPath"; did you mean "hostPaths"?`,
		"policy: {images: ['web:1']}":             "policy.images[0]",
		"policy: []":                              "expected an object",
		"seccompDefault: on-demand":               "seccompDefault: expected true or false, without quotes, found a text",
		"seccompDefault:":                         "seccompDefault: has no value; give it one (true or false)",
		"manifestKeyFile:":                        "manifestKeyFile: has no value",
		"auditLog:":                               "auditLog: has no value",
		"nodeIP:":                                 "",
		`podSecurity: ""`:                         "expected an object",
		`podSecurity: {enforce: ""}`:              "podSecurity: enforce has no value",
		"podsecurity: strict":                     "podSecurity: enforce is",
		"policy: {privileged: 'no'}":              "policy: privileged: expected true or false, without quotes, found a text",
		"policy: {hostPorts: 80}":                 "policy: hostPorts: expected a list like [a, b], found a number",
		"serviceCIDR: [10.96.0.0/16]":             "serviceCIDR: expected a text",
		"clusterDNS: 192.0.2.53":                  "clusterDNS: expected a list like [a, b], found a text",
		"stubDomains: {corp.example: 192.0.2.53}": "stubDomains: expected a list",
		"allowedHosts: box":                       "allowedHosts: expected a list",
		"shutdownGracePeriod: 30":                 "shutdownGracePeriod: 30 is no duration; it is a duration like 30s or 1m30s",
		"shutdownGracePeriod: 30 s":               `shutdownGracePeriod: "30 s" is no duration`,
		"[podSecurity]":                           "expected settings",
		"podSecurity: baseline\npodSecurity: privileged":        "already set",
		"podSecurity: baseline\npodsecurity: privileged":        "podSecurity is set twice",
		"---\npodSecurity: baseline\n---\n# nothing\n":          "",
		"listen: ''\n---\npodSecurity: baseline\n":              ":3:1: a second document",
		"# nothing\n---\nlisten: ''\n---\nseccompDefault: true": ":5:1: a second document",
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

// TestSettingPlaces: what is wrong with a setting is told with its place, its name, and what it may be; all of a file's faults at once.
func TestSettingPlaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	load := func(text string, flags ...string) error {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, set := defaults(), pflag.NewFlagSet("", pflag.ContinueOnError)
		c.register(set)
		if err := set.Parse(flags); err != nil {
			t.Fatal(err)
		}
		_, err := loadConfig(file, ofDaemon, set)
		return err
	}
	for _, c := range []struct{ text, want string }{
		{"listen: 7", `F:1:9: listen: expected a text, in quotes, found a number; it is an address with a port, like 127.0.0.1:10255 or :10255, or "" for none`},
		{"# the box\nlisten: '7'", `F:2:9: listen: "7" is not an address with a port, like 127.0.0.1:10255 or :10255, or "" for none`},
		{"listen: box:99999", `F:1:9: listen: "box:99999" is not an address with a port, like 127.0.0.1:10255 or :10255, or "" for none`},
		{"logLevel: loud\nlistn: ''\nplainPort: all", "F:1:11: logLevel: \"loud\" is not debug, info, warn or error\n" +
			"F:2:1: unknown setting \"listn\"; did you mean \"listen\"?\nF:3:12: plainPort: \"all\" is not metrics or read"},
		{"policy:\n  hostPorts:\n  - {min: 1, max: 2}\n  - {min: 0}", "F:4:5: policy.hostPorts[1] is a range {min: 8000, max: 8999} of the ports 1 to 65535, not 0 to 0"},
		{"policy:\n  hostPath: []", `F:2:3: policy: unknown field "hostPath"; did you mean "hostPaths"?`},
		{"podSecurity:\n  enforce: basline", `F:2:12: podSecurity: enforce is privileged, baseline or restricted, not "basline"`},
		{"allowedHosts:\n- box\n- box:80", `F:3:3: allowedHosts: "box:80" is not a name like box.example.com or *.example.com, nor an address, without a port`},
		{"stubDomains:\n  a.example: [192.0.2.1]\n  b.example: [here]", `F:3:15: stubDomains: b.example: "here" is not a server's address like 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53`},
		{"tlsListen: :10250", "F:1:12: tlsListen: it lets nobody in without clientCAFile or authTokenFile in the configuration"},
		{"tlsCertFile: /etc/tls.crt", "F:1:14: tlsCertFile and tlsPrivateKeyFile go together; set both, or neither to have a certificate made"},
		{"a: b: c", "F:1:1: cannot be read as YAML: mapping values are not allowed in this context"},
		{"root: /srv\nlisten: *there\n", "F:2:1: cannot be read as YAML: unknown anchor 'there' referenced"},
		{"root: /srv\n? [a]\n: b\n", `F:2:1: cannot be read as YAML: invalid map key: []interface {}{"a"}`},
		{"root: /srv\npodPidsLimit: .nan\nlogLevel: info\n", "F:2:1: cannot be read as YAML: unsupported value: NaN"},
		{"root: /srv\nlogLevel: \"a\x01\"\n", "F:2:1: cannot be read as YAML: control characters are not allowed"},
		{"root: /srv\n<<: {lsten: 7}", `F:2:6: unknown setting "lsten"; did you mean "listen"?`},
		{"<<: [{root: /srv},\n  {listen: 7}]", `F:2:12: listen: expected a text, in quotes, found a number; it is an address with a port, like 127.0.0.1:10255 or :10255, or "" for none`},
		{"state: run", `F:1:8: state: "run" is not the absolute path of a directory, like /srv/solopod`},
		{`runtime: "ru\0nc"`, `F:1:10: runtime: "ru\x00nc" is not runc, crun, or the absolute path of an OCI runtime`},
		{`root: "/srv\0"`, `F:1:7: root: "/srv\x00" is not the absolute path of a directory, like /srv/solopod`},
		{`socketGroup: "-1"`, `F:1:14: socketGroup: "-1" is not the name or the number of a group`},
		{"auditLogMaxSize: ten", `F:1:18: auditLogMaxSize "ten" is not a size like 10Mi, of at least 64Ki`},
		{"auditLogMaxBackups: -1", "F:1:21: auditLogMaxBackups cannot be negative: it counts older files, and is -1"},
		{"listen: ''\nlisten: ''", `F:2:1: cannot be read as YAML: key "listen" already set in map`},
		{"systemReserved:\n  cpu: 100m\n  memory: 1Gx", `F:3:11: systemReserved.memory: "1Gx" is not a quantity like 512Mi`},
		{"kubeReserved:\n  memori: 1Gi", `F:2:3: kubeReserved: "memori" cannot be reserved; did you mean "memory"?`},
		{"kubeReserved:", "F:1:14: kubeReserved: has no value; give it one (" + aReserve + "), or leave it away"},
		{"enforceNodeAllocatable: [pods,\n  kube-reserved]", `F:2:3: enforceNodeAllocatable: "kube-reserved" is not enforced: Solopod bounds no cgroup but that of its pods; ` +
			`have systemd bound the others (MemoryMax= of a slice), and write [pods]`},
		{"admission: strict", `F:1:12: admission: "strict" is not warn or refuse`},
		{"memoryThrottlingFactor: 1.5", "F:1:25: memoryThrottlingFactor: 1.5 is not a number above 0 and up to 1, like 0.9"},
		{"root: &here /srv/solopod\nstate: *here\nlogLevel: 1", "F:3:11: logLevel: expected a text, in quotes, found a number; it is debug, info, warn or error"},
	} {
		want := strings.ReplaceAll(c.want, "F:", file+":")
		if err := load(c.text); err == nil || err.Error() != want {
			t.Errorf("%q: got\n%v\nwant\n%s", c.text, err, want)
		}
	}
	if err := load("logLevel: info", "--log-level", "loud"); err == nil || err.Error() != `--log-level: "loud" is not debug, info, warn or error` {
		t.Error(err)
	}
	if err := load("logLevel: loud", "--log-level", "info"); err != nil { // the flag is what counts
		t.Error(err)
	}
	_, names := settingFields()
	for _, name := range names {
		says := settingForms[name]
		if says == "" {
			t.Errorf("nothing says what %s may be", name)
		}
		for _, value := range []string{"{wrong: [type]}", "[[wrong, type]]"} {
			err := load("# settings\n" + name + ": " + value)
			if err == nil || !strings.HasPrefix(err.Error(), file+":2:") || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %s: %v", name, value, err)
			} else if !strings.Contains(err.Error(), says) && !slices.Contains([]string{"policy", "podSecurity", "stubDomains", "runtimeClasses", "clusterDNS", "cdiSpecDirs", "allowedHosts", "allowedUnsafeSysctls"}, name) {
				t.Errorf("%s: %v, and not what it may be: %s", name, err, says)
			}
		}
	}
	for name := range settingForms {
		if !slices.Contains(names, name) {
			t.Errorf("there is no setting %s", name)
		}
	}
}

func TestFlagOf(t *testing.T) {
	c, set := defaults(), pflag.NewFlagSet("", pflag.ContinueOnError)
	c.register(set)
	_, names := settingFields()
	flags := map[string]bool{}
	for _, name := range names {
		flags[flagOf(name)] = true
	}
	set.VisitAll(func(f *pflag.Flag) {
		if !flags[f.Name] {
			t.Errorf("--%s is no setting's", f.Name)
		}
	})
}

// The package's configuration file shows every setting, and what stands there can be used.
func TestConfigurationOfPackage(t *testing.T) {
	const path = "../scripts/deb/config.yaml"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^# (\w+): *(.*)$`)
	_, names := settingFields()
	var used strings.Builder
	for _, line := range shown.FindAllStringSubmatch(string(text), -1) {
		if i := slices.Index(names, line[1]); i >= 0 {
			names = slices.Delete(names, i, i+1)
		} else {
			t.Errorf("%s: there is no setting %s, or it stands there twice", path, line[1])
		}
		if !strings.HasPrefix(line[2], "#") && line[2] != "" {
			used.WriteString(line[1] + ": " + line[2] + "\n")
		}
	}
	if len(names) > 0 {
		t.Errorf("%s does not show %s", path, names)
	}
	c := defaults()
	_, wrong := c.readText([]byte(used.String()))
	if err := errors.Join(wrong.in(path), c.validate().in(path)); err != nil {
		t.Error(err)
	}
}

// The time after which a version goes back is none, or one in which something can be known.
func TestRollbackAfter(t *testing.T) {
	for text, good := range map[string]bool{"0s": true, "10s": true, "5m": true, "9s": false, "-1m": false} {
		c := defaults()
		_, wrong := c.readText([]byte("rollbackAfter: " + text))
		if len(wrong) > 0 {
			t.Fatal(wrong)
		}
		said := 0
		validateRollbacks(&c, func(string, error) { said++ })
		if (said == 0) != good {
			t.Errorf("%s: %d errors", text, said)
		}
	}
}

// settingsFile is a configuration file, and what loads it with a text.
func settingsFile(t *testing.T) (file string, load func(text string) (config, error)) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "config.yaml")
	return file, func(text string) (config, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return loadConfig(file, ofDaemon, pflag.NewFlagSet("", pflag.ContinueOnError))
	}
}
