package provider

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// machine is a directory of programs, by their names, and their configuration.
func machine(t *testing.T, programs map[string]string, config string) (*Providers, string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+strings.ReplaceAll(script, "DIR", dir)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Parse([]byte(config), dir)
	if err != nil {
		t.Fatal(err)
	}
	return p, dir
}

const head = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n"

func one(name, images string) string {
	return "- name: " + name + "\n  matchImages: [" + images + "]\n  defaultCacheDuration: 1h\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n"
}

// says is a script that answers, and counts how often it was asked in DIR/asked.
func says(keyType, duration, auth string) string {
	return fmt.Sprintf(`cat >>DIR/asked; echo >>DIR/asked
echo '{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":%q,%s"auth":%s}'
`, keyType, duration, auth)
}

func asked(t *testing.T, dir string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "asked"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// A plugin is asked in the kubelet's form, with its arguments and environment, and its answer is kept as it says.
func TestProtocol(t *testing.T) {
	const auth = `{"registry.example":{"username":"all","password":"1"},"registry.example/team":{"username":"team","password":"2"},"other.example":{"username":"no","password":"3"}}`
	p, dir := machine(t, map[string]string{
		"image":    says("Image", "", auth),
		"registry": says("Registry", "", auth),
		"never":    says("Image", `"cacheDuration":"0s",`, `{"n.example":{"username":"'"$1$WHO"'","password":"4"}}`),
	}, head+one("image", `"*.example"`)+one("registry", `"r.example"`)+one("never", `"n.example"`)+"  args: [arg]\n  env: [{name: WHO, value: env}]\n")
	for image, want := range map[string]string{
		"registry.example/app:1": "all",
		"registry.example/team/app@sha256:" + strings.Repeat("a", 64): "team",
		"docker.io/library/app:1":                                     "",
	} {
		for range 2 {
			login, known, err := p.Login(t.Context(), image)
			if err != nil || known != (want != "") || login.User != want {
				t.Errorf("%s: %v, %t, %v", image, login, known, err)
			}
		}
	}
	const form = `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":%q}`
	if got := asked(t, dir); len(got) != 2 || got[0] != fmt.Sprintf(form, "registry.example/app") && got[1] != fmt.Sprintf(form, "registry.example/app") {
		t.Errorf("asked: %q", got)
	}
	p, dir = machine(t, map[string]string{"registry": says("Registry", "", auth)}, head+one("registry", `"registry.example"`))
	for _, image := range []string{"registry.example/app:1", "registry.example/other:1", "registry.example/team/x:1"} {
		if _, known, err := p.Login(t.Context(), image); err != nil || !known {
			t.Errorf("%s: %t, %v", image, known, err)
		}
	}
	if got := asked(t, dir); len(got) != 1 {
		t.Errorf("asked: %q", got)
	}
	p, dir = machine(t, map[string]string{"never": says("Global", `"cacheDuration":"0s",`, `{"n.example":{"username":"'"$1$WHO"'","password":"4"}}`)},
		head+one("never", `"n.example"`)+"  args: [arg]\n  env: [{name: WHO, value: env}]\n")
	for range 2 {
		if login, known, err := p.Login(t.Context(), "n.example/app:1"); err != nil || !known || login != (Login{"argenv", "4"}) {
			t.Errorf("%v, %t, %v", login, known, err)
		}
	}
	if got := asked(t, dir); len(got) != 2 {
		t.Errorf("asked: %q", got)
	}
}

// A plugin that fails, hangs, floods or says something else is an error that shows nothing of its answer, and the next one is asked.
func TestBadPlugins(t *testing.T) {
	for script, want := range map[string]string{
		"exit 3":                        "exit status 3",
		"sleep 1000 & sleep 1000":       "it does not answer within",
		"while :; do echo secret; done": "it says too much",
		"echo secret":                   "its answer is no JSON of the protocol's form",
		`echo '{"kind":"Pod"}'`:         `it answers with "Pod"`,
		says("Image", `"cacheDuration":"soon",`, "{}"): "its answer is no JSON",
		says("Pod", "", "{}"):                          `its cacheKeyType is "Pod"`,
	} {
		p, _ := machine(t, map[string]string{"bad": script, "good": says("Image", "", `{"*.example":{"username":"me","password":"1"}}`)},
			head+one("bad", `"r.example", "bad.example"`)+one("good", `"r.example"`))
		p.limit = time.Second
		_, known, err := p.Login(t.Context(), "bad.example/app:1")
		if known || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%.40q: %t, %v, want %s", script, known, err, want)
		}
		if login, known, err := p.Login(t.Context(), "r.example/app:1"); !known || login.User != "me" || err != nil {
			t.Errorf("%.40q: the next one: %v, %t, %v", script, login, known, err)
		}
	}
	if _, known, err := (*Providers)(nil).Login(t.Context(), "r.example/app:1"); known || err != nil {
		t.Error("there are none")
	}
}

// The kubelet's rules for patterns.
func TestMatches(t *testing.T) {
	for _, test := range []struct {
		pattern, repository string
		want                bool
	}{
		{"registry.io", "registry.io/app", true},
		{"registry.io", "registry.io:5000/app", false},
		{"registry.io:5000", "registry.io:5000/app", true},
		{"registry.io:5000/team", "registry.io:5000/team/app", true},
		{"registry.io:5000/team", "registry.io:5000/other/app", false},
		{"*.io", "registry.io/app", true},
		{"*.io", "a.registry.io/app", false},
		{"*.dkr.ecr.*.amazonaws.com", "1.dkr.ecr.eu-1.amazonaws.com/app", true},
		{"app*.k8s.io", "app1.k8s.io/x", true},
		{"*", "localhost/app", true},
		{"*", "registry.io/app", false},
	} {
		if got := matches(test.pattern, test.repository); got != test.want {
			t.Errorf("%s, %s: %t", test.pattern, test.repository, got)
		}
	}
}

func TestParse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	good := one("a", `"r.example"`)
	for text, want := range map[string]string{
		head + good:                                       "",
		"kind: Pod\napiVersion: v1\n":                     "no CredentialProviderConfig",
		head[:len(head)-1] + " []\n":                      "it has no providers",
		head + good + good:                                "there are two of that name",
		head + one("b", `"r.example"`):                    "there is no program " + filepath.Join(dir, "b"),
		head + one("../a", `"r.example"`):                 "name is to be that of a program",
		head + one("a", ""):                               "matchImages says for which images",
		head + one("a", `"https://r.example"`):            "is no pattern like",
		head + one("a", `"[r.example"`):                   "syntax error",
		head + good + "  tokenAttributes: {}\n":           "no tokens of service accounts",
		head + good + "  typo: 1\n":                       "typo",
		head + strings.Replace(good, "1h", "soon", 1):     "soon",
		head + strings.Replace(good, "1h", "-1s", 1):      "defaultCacheDuration is to be",
		head + strings.Replace(good, "io/v1", "io/v2", 1): "credentialprovider.kubelet.k8s.io/v1 is what is spoken",
	} {
		_, err := Parse([]byte(text), dir)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
