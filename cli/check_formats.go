package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/solopod/solopod/cli/visible"
	"github.com/solopod/solopod/manifests"
)

// writeGitHub writes problems as commands of a GitHub workflow, which shows them beside the lines that they are of.
func writeGitHub(w io.Writer, problems manifests.Problems) error {
	for _, p := range problems {
		level := "error"
		if p.Warning {
			level = "warning"
		}
		properties := "file=" + githubProperty(p.File)
		if p.Line > 0 {
			properties += fmt.Sprintf(",line=%d,col=%d", p.Line, max(p.Column, 1))
		}
		if p.Path != "" {
			properties += ",title=" + githubProperty(p.Path)
		}
		if _, err := fmt.Fprintf(w, "::%s %s::%s\n", level, properties, githubData(p.Message)); err != nil {
			return err
		}
	}
	return nil
}

// githubData escapes a message: a line's end would begin another command. github.com/actions/toolkit, packages/core/src/command.ts.
func githubData(s string) string {
	return visible.Text(strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s))
}

func githubProperty(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(githubData(s))
}

// What there is of SARIF 2.1.0 (OASIS, sarif-schema-2.1.0.json) in a report of problems.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool struct {
			Driver sarifDriver `json:"driver"`
		} `json:"tool"`
		ColumnKind  string            `json:"columnKind"`
		Invocations []sarifInvocation `json:"invocations"`
		Results     []sarifResult     `json:"results"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID          string    `json:"id"`
		Description sarifText `json:"shortDescription"`
	}
	sarifInvocation struct {
		Successful bool `json:"executionSuccessful"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
			Region *sarifRegion `json:"region,omitempty"`
		} `json:"physicalLocation"`
		Logical []sarifLogical `json:"logicalLocations,omitempty"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
	}
	sarifLogical struct {
		Name string `json:"fullyQualifiedName"`
	}
)

// Rules of problems that no setting forbids; the others have the setting's name.
const (
	ruleManifest = "manifest"
	ruleFile     = "file"
)

// writeSARIF writes problems in the format that code scanning takes.
func writeSARIF(w io.Writer, problems manifests.Problems) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Invocations: []sarifInvocation{{Successful: true}}, Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "solopod", Version: version, Rules: []sarifRule{
		{ruleManifest, sarifText{"An object of a manifest is not as Kubernetes or Solopod have it"}},
		{ruleFile, sarifText{"A file of manifests cannot be used as it is"}},
	}}
	index := map[string]int{ruleManifest: 0, ruleFile: 1}
	for _, p := range problems {
		rule := p.Control
		if rule == "" && p.Path == "" {
			rule = ruleFile
		} else if rule == "" {
			rule = ruleManifest
		}
		if _, known := index[rule]; !known {
			index[rule] = len(run.Tool.Driver.Rules)
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{rule, sarifText{"The node's setting " + rule + " does not allow it, or warns of it"}})
		}
		run.Results = append(run.Results, sarifOf(p, rule, index[rule]))
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}

func sarifOf(p manifests.Problem, rule string, index int) sarifResult {
	level := "error"
	if p.Warning {
		level = "warning"
	}
	var at sarifLocation
	at.Physical.Artifact.URI = fileURI(p.File)
	message := p.Message
	if p.Line > 0 {
		at.Physical.Region = &sarifRegion{p.Line, max(p.Column, 1)}
	}
	if p.Path != "" {
		at.Logical = []sarifLogical{{p.Path}}
		message = p.Path + ": " + message
	}
	return sarifResult{rule, index, level, sarifText{visible.Text(message)}, []sarifLocation{at}}
}

// fileURI is a file's name as a reference: relative names stay so.
func fileURI(name string) string {
	u := url.URL{Path: filepath.ToSlash(filepath.Clean(name))}
	if filepath.IsAbs(name) {
		u.Scheme = "file"
	}
	return u.String()
}
