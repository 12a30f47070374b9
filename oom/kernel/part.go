package kernel

import "strings"

// part is a line that the kernel writes in pieces (pr_cont). When another line comes between, each piece is a line of its own.
type part struct {
	line Line
	text string
}

// pieced are lines that are written so, with what they end in, or, where that is a number, what comes before it.
var pieced = []struct{ begin, end string }{
	{"oom-kill:constraint=", ",uid="},
	{"Tasks in ", groupEnd},
	{"Task in ", taskMiddle},
	{"Memory cgroup stats for ", ":"},
}

// unfinished: more pieces of the line are to come.
func unfinished(text string) bool {
	for _, p := range pieced {
		if rest, ok := strings.CutPrefix(text, p.begin); ok {
			return !strings.Contains(rest, p.end)
		}
	}
	return false
}

// begin keeps a line of which pieces are missing.
func (p *part) begin(l Line) bool {
	if !unfinished(l.Text) {
		return false
	}
	p.line, p.text = l, l.Text
	return true
}

// add adds a piece, and gives the line when it is whole.
func (p *part) add(l Line) (whole Line, ok bool) {
	if p.text == "" || !isPiece(l) || p.line.Caller != l.Caller || len(p.text)+len(l.Text) > longest {
		return Line{}, false
	}
	p.text += l.Text
	if unfinished(p.text) {
		return Line{}, true
	}
	return p.take(), true
}

// take gives what there is of the line.
func (p *part) take() Line {
	l := p.line
	l.Text = p.text
	*p = part{}
	return l
}

// isPiece: the mark of continued lines is a hint only (Documentation/ABI/testing/dev-kmsg), so that their text counts as well.
func isPiece(l Line) bool {
	if l.Continued {
		return true
	}
	for _, begin := range []string{",cpuset=", ",mems_allowed=", ",oom_memcg=", ",global_oom", ",task_memcg=", ",task=", "/", groupEnd, taskMiddle, ":"} {
		if strings.HasPrefix(l.Text, begin) {
			return true
		}
	}
	return false
}

// begins: the text is a line of which a report is made, so that no pieces of one before it will come.
func begins(text string) bool {
	return isMain(text) || unfinished(text) || strings.HasPrefix(text, "memory: usage ") || strings.HasPrefix(text, "Tasks state ")
}

// isMain: the text begins a dump or tells of a kill, whatever the name at its beginning looks like.
func isMain(text string) bool {
	_, isKill := parseKilled(text)
	_, isDump := parseInvoked(text)
	return isKill || isDump
}
