package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solopod/solopod/manifests"
)

// The exit code says whether something is wrong or could not be looked at.
func TestCheckExitCodes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i}]}\n"
	good, bad := write("good.yaml", pod), write("bad.yaml", strings.Replace(pod, "image", "imag", 1))
	warned := write("warned.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: p}\n")
	twice := write("twice.yaml", pod+"spec: {containers: [{name: c, image: i}]}\n")
	refuse := write("config.yaml", "clusterKinds: refuse\nunknownFields: warn\n")
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"good":                  {[]string{good}, 0, ""},
		"good, from a pipe":     {[]string{"-"}, 0, ""},
		"a warning":             {[]string{warned}, 0, "warned.yaml:2:7: warning: kind: ServiceAccount p is not used"},
		"refused":               {[]string{"--config", refuse, warned}, 1, "clusterKinds: refuse"},
		"bad":                   {[]string{good, bad}, 1, `did you mean "image"?`},
		"a field that may be":   {[]string{"--warn-unknown-fields", "-o", "json", write("more.yaml", pod+"foo: 1\n")}, 0, `"warning": true`},
		"twice":                 {[]string{twice}, 1, "duplicate key"},
		"twice, which may be":   {[]string{"--config", refuse, twice}, 0, "has no effect"},
		"nothing":               {nil, 2, "name files or directories"},
		"no such file":          {[]string{good, filepath.Join(dir, "none.yaml")}, 2, "none.yaml"},
		"no such flag":          {[]string{"--confg", refuse, good}, 2, "confg"},
		"no such format":        {[]string{"-o", "xml", good}, 2, "-o takes json, sarif or github"},
		"no such configuration": {[]string{"--config", filepath.Join(dir, "none"), good}, 2, "cannot read the configuration"},
		"a bad configuration":   {[]string{"--config", write("other.yaml", "clusterKinds: ignore\n"), good}, 2, "clusterKinds"},
	} {
		var out bytes.Buffer
		cmd := newCheck()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetIn(strings.NewReader(pod))
		cmd.SetArgs(append([]string{}, c.args...))
		err, code := cmd.Execute(), 0
		var exit exitError
		if errors.As(err, &exit) {
			code = exit.code
			out.WriteString(exit.Error())
		} else if err != nil {
			t.Errorf("%s: an error without a code: %v", name, err)
		}
		if code != c.code || !strings.Contains(out.String(), c.says) || c.says == "" && out.Len() > 0 {
			t.Errorf("%s: exit code %d, %s", name, code, out.String())
		}
	}
}

var reported = manifests.Problems{
	{File: "a b%.yaml", Position: manifests.Position{Line: 3, Column: 5}, Path: "spec.a,b:c", Message: "100% wrong\n::set-output name=x::y\r\x1b[2J"},
	{File: "/etc/x.yaml", Message: "is not text", Warning: true},
	{File: "c:d.yaml", Position: manifests.Position{Line: 1}, Path: "spec", Message: "m", Control: "policy/hostPaths"},
	{File: "e.yaml", Position: manifests.Position{Line: 2, Column: 1}, Path: "spec", Message: "n", Control: "policy/hostPaths"},
}

// What a message or a name holds begins no command of its own.
func TestCheckForGitHub(t *testing.T) {
	var out bytes.Buffer
	if err := writeGitHub(&out, reported); err != nil {
		t.Fatal(err)
	}
	want := "::error file=a b%25.yaml,line=3,col=5,title=spec.a%2Cb%3Ac::100%25 wrong%0A::set-output name=x::y%0D^[[2J\n" +
		"::warning file=/etc/x.yaml::is not text\n" +
		"::error file=c%3Ad.yaml,line=1,col=1,title=spec::m\n" +
		"::error file=e.yaml,line=2,col=1,title=spec::n\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// A report has what SARIF 2.1.0 requires and code scanning reads.
func TestCheckAsSARIF(t *testing.T) {
	for _, problems := range []manifests.Problems{nil, reported} {
		var out bytes.Buffer
		if err := writeSARIF(&out, problems); err != nil {
			t.Fatal(err)
		}
		var log struct {
			Schema  string `json:"$schema"`
			Version string
			Runs    []struct {
				ColumnKind string
				Tool       struct {
					Driver struct {
						Name  string
						Rules []struct{ ID string }
					}
				}
				Results []struct {
					RuleID    string
					RuleIndex int
					Level     string
					Message   struct{ Text string }
					Locations []struct {
						PhysicalLocation struct {
							ArtifactLocation struct{ URI string }
							Region           *struct{ StartLine, StartColumn int }
						}
						LogicalLocations []struct{ FullyQualifiedName string }
					}
				}
			}
		}
		if err := json.Unmarshal(out.Bytes(), &log); err != nil {
			t.Fatal(err)
		}
		if log.Version != "2.1.0" || len(log.Runs) != 1 || log.Runs[0].Tool.Driver.Name != "solopod" || !strings.Contains(out.String(), `"results": [`) {
			t.Fatalf("%s", out.String())
		}
		run := log.Runs[0]
		if len(run.Results) != len(problems) {
			t.Fatalf("%d results of %d problems", len(run.Results), len(problems))
		}
		uris := []string{"a%20b%25.yaml", "file:///etc/x.yaml", "./c:d.yaml", "e.yaml"}
		levels := []string{"error", "warning", "error", "error"}
		rules := []string{ruleManifest, ruleFile, "policy/hostPaths", "policy/hostPaths"}
		for i, r := range run.Results {
			at := r.Locations[0].PhysicalLocation
			if at.ArtifactLocation.URI != uris[i] || r.Level != levels[i] || r.RuleID != rules[i] || run.Tool.Driver.Rules[r.RuleIndex].ID != rules[i] {
				t.Errorf("%d: %+v", i, r)
			}
			if line := reported[i].Line; (at.Region == nil) != (line == 0) || line > 0 && (at.Region.StartLine != line || at.Region.StartColumn < 1) {
				t.Errorf("%d: %+v", i, at.Region)
			}
			if !strings.Contains(r.Message.Text, strings.SplitN(reported[i].Message, "\n", 2)[0]) || strings.Contains(r.Message.Text, "\x1b") {
				t.Errorf("%d: %q", i, r.Message.Text)
			}
		}
	}
}
