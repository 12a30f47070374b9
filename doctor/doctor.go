// Package doctor looks for what Solopod needs of a machine: an OCI runtime, cgroups and their controllers, overlayfs, nftables, what pods'
// namespaces and networks want. What is found (Facts) is gathered apart from how it is judged: each check is a row of one table with a
// pure function. Package inspection is its sister for what makes a box unsafe.
package doctor

import "strings"

// Verdict is how a check ended.
type Verdict string

// Verdicts. Warning: something will not work, or less well, that most boxes do without.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning"
	Missing Verdict = "missing"
)

// Result is what came of one check.
type Result struct {
	// Check names it; scripts may rely on it.
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	// Found says in a line what is there, or what is missing and what follows from that.
	Found string `json:"found"`
	// Advice says what to do; empty where all is well.
	Advice string `json:"advice,omitempty"`
}

// Results are in the order of the checks.
type Results []Result

// Missing are the results of what is missing.
func (rs Results) Missing() Results { return rs.of(Missing) }

// Warnings are those that warn.
func (rs Results) Warnings() Results { return rs.of(Warning) }

func (rs Results) of(v Verdict) (out Results) {
	for _, r := range rs {
		if r.Verdict == v {
			out = append(out, r)
		}
	}
	return out
}

// said is what a check says. Of several, which are the worst first, all count.
type said struct {
	verdict       Verdict
	found, advice string
}

func fine(found string) []said { return []said{{OK, found, ""}} }

// check is a row of the table.
type check struct {
	name  string
	judge func(*Facts) []said
}

// Judge says of each thing that is needed whether it is there.
func Judge(f *Facts) Results {
	var out Results
	for _, c := range checks {
		for _, s := range c.judge(f) {
			out = append(out, Result{c.name, s.verdict, oneLine(s.found), oneLine(s.advice)})
		}
	}
	return out
}

// maxLine bounds what is said, which programs and files of others have a part in.
const maxLine = 400

func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxLine {
		return strings.ToValidUTF8(text[:maxLine], "") + "..."
	}
	return text
}
