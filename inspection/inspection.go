// Package inspection looks at a box and says what to mend: modes of files, listeners, tokens and certificates, policy, the runtime, the
// kernel, and what pods may do. What is found (Facts) is gathered apart from how it is judged: each check is a row of one table with a
// pure function.
package inspection

import "slices"

// Severity is how much a finding matters.
type Severity string

// Severities. Info is a matter of choice.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// rank orders severities, the worst last.
func (s Severity) rank() int { return slices.Index([]Severity{Info, Warning, Critical}, s) }

// Finding is one thing to mend.
type Finding struct {
	// ID names the check; scripts may rely on it.
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
	// Subject is what was found: a file, a listener, a pod's container ...
	Subject string `json:"subject,omitempty"`
	// Advice says what to do.
	Advice string `json:"advice"`
}

// Report is what a look at a box has brought.
type Report struct {
	// Findings are sorted by severity, the worst first, then as in the table of checks.
	Findings []Finding `json:"findings"`
	// Unseen says what could not be looked at, and why.
	Unseen []string `json:"unseen"`
}

// Bad says whether anything is of severity warning or worse.
func (r *Report) Bad() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity.rank() >= Warning.rank() })
}

// check is a row: judge returns the subjects of which it is true; an empty one is the box as a whole.
type check struct {
	id       string
	severity Severity
	title    string
	advice   string
	judge    func(*Facts) []string
}

// checks are all there are.
func checks() []check {
	return slices.Concat(fileChecks, listenerChecks, policyChecks, runtimeChecks, kernelChecks, podChecks)
}

// IDs are the names of all checks.
func IDs() []string {
	var out []string
	for _, c := range checks() {
		out = append(out, c.id)
	}
	return out
}

// maxSubjects bounds the findings of one check.
const maxSubjects = 100

// Judge says what is to be mended. ignored are the ids of checks that do not count.
func Judge(f *Facts, ignored []string) Report {
	r := Report{Findings: []Finding{}, Unseen: append([]string{}, f.Unseen...)}
	for _, c := range checks() {
		if slices.Contains(ignored, c.id) {
			continue
		}
		subjects := c.judge(f)
		for _, subject := range subjects[:min(len(subjects), maxSubjects)] {
			r.Findings = append(r.Findings, Finding{c.id, c.severity, c.title, subject, c.advice})
		}
	}
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return b.Severity.rank() - a.Severity.rank() })
	return r
}

// when makes subjects of a condition of the box as a whole.
func when(is bool) []string {
	if is {
		return []string{""}
	}
	return nil
}

// Settings are a configuration, by the names of its fields. Those that this version does not know are there as well.
type Settings map[string]any

// Text is a setting that is a text, empty when it is not there.
func (s Settings) Text(name string) string {
	text, _ := s[name].(string)
	return text
}

// isSet says whether a setting says anything.
func (s Settings) isSet(name string) bool {
	switch v := s[name].(type) {
	case nil:
		return false
	case string:
		return v != ""
	case bool:
		return v
	case map[string]any:
		return len(v) > 0
	case []any:
		return len(v) > 0
	}
	return true
}
