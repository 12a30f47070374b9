// Package audit writes down who has changed what: one line for each change that came through the socket, a port or a manifest file, and
// for each attempt that was refused. Lines go to the daemon's log, and to a file of their own where one is configured.
//
// A line never has what environments, Secrets or streams hold. What clients say is escaped and cut: it reaches terminals and other
// programs.
package audit

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Stage is what of a change a line tells.
type Stage string

// Stages.
const (
	// Done: a request that was answered.
	Done Stage = "done"
	// Begin and End are those of what lasts: exec, attach, port-forward, run, cp, a drain, a pull.
	Begin Stage = "begin"
	End   Stage = "end"
	// File: a version of a manifest file was accepted or refused, or the file was removed.
	File Stage = "file"
	// Lost: lines are missing here, in the file.
	Lost Stage = "lost"
)

// Line is one line. What is zero is left out of it; numbers where zero means something are pointers.
type Line struct {
	Time  time.Time `json:"time"`
	Stage Stage     `json:"stage"`
	// Via is socket, port, tls or file.
	Via string `json:"via,omitempty"`
	// User is the name of the token's user or of the certificate, Subject the certificate's whole subject.
	User    string `json:"user,omitempty"`
	Subject string `json:"subject,omitempty"`
	// From is the client's address.
	From string `json:"from,omitempty"`
	// UID, PID and Process are those of the other side of the unix socket, LoginUID is who has logged in there (before sudo). Of a file
	// UID is the owner.
	UID      *uint32 `json:"uid,omitempty"`
	LoginUID *uint32 `json:"loginUID,omitempty"`
	PID      int32   `json:"pid,omitempty"`
	Process  string  `json:"process,omitempty"`

	// Verb is what is done: exec, restart, pull-image ...
	Verb      string   `json:"verb,omitempty"`
	Method    string   `json:"method,omitempty"`
	Path      string   `json:"path,omitempty"`
	Query     string   `json:"query,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
	Pod       string   `json:"pod,omitempty"`
	Container string   `json:"container,omitempty"`
	Command   []string `json:"command,omitempty"`
	Ports     []string `json:"ports,omitempty"`

	// File is the name of a manifest file; Mode, Modified and Signer are those of its version.
	File     string    `json:"file,omitempty"`
	Mode     string    `json:"mode,omitempty"`
	Modified time.Time `json:"modified,omitzero"`
	Signer   string    `json:"signer,omitempty"`
	// Outcome is accepted, refused or removed. AtStart: the daemon has just begun, so that the change may be older.
	Outcome string `json:"outcome,omitempty"`
	AtStart bool   `json:"atStart,omitempty"`
	// Added, Edited and Removed name pods as namespace/name, and other objects with their kind before it.
	Added   []string `json:"added,omitempty"`
	Edited  []string `json:"edited,omitempty"`
	Removed []string `json:"removed,omitempty"`

	// Status is the HTTP status. 101 is that of a session whose streams were opened.
	Status int    `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
	// Took is how long it took, in seconds.
	Took float64 `json:"seconds,omitempty"`
	// Unsaid counts refused attempts before this line that have none, as there were too many; Missing the lines that were lost.
	Unsaid  int `json:"unsaid,omitempty"`
	Missing int `json:"missing,omitempty"`
}

// Bounds of a line, in bytes and entries. Together, and quoted once more by the log, they are below the 48 KiB at which systemd's journal
// parts a line (journald.conf(5), LineMax): its second half would be a line that a client has written.
const (
	maxText  = 256
	maxLong  = 1024
	maxNames = 64
	maxList  = 4096
)

// clean escapes and cuts whatever is not Solopod's own in a line.
func (l Line) clean() Line {
	for _, text := range []*string{&l.User, &l.Subject, &l.From, &l.Process, &l.Method, &l.Namespace, &l.Pod, &l.Container, &l.File, &l.Mode, &l.Signer} {
		*text = Printable(*text, maxText)
	}
	for _, text := range []*string{&l.Path, &l.Query, &l.Error} {
		*text = Printable(*text, maxLong)
	}
	for _, list := range []*[]string{&l.Command, &l.Added, &l.Edited, &l.Removed, &l.Ports} {
		*list = bounded(*list)
	}
	return l
}

// bounded cuts a list, and says how many entries there were more.
func bounded(list []string) []string {
	if list == nil {
		return nil
	}
	out, room := make([]string, 0, min(len(list), maxNames)+1), maxList
	for i, text := range list {
		text = Printable(text, maxText)
		if room -= len(text); i == maxNames || room < 0 {
			return append(out, fmt.Sprintf("and %d more", len(list)-i))
		}
		out = append(out, text)
	}
	return out
}

// Printable is text as it can be shown anywhere: what does not print, backslashes and what is no UTF-8 are escaped as in Go, and what is
// longer than most bytes is cut.
func Printable(text string, most int) string {
	var out strings.Builder
	for i, r := range text {
		size := utf8.RuneLen(r)
		shown := string(r)
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			shown = fmt.Sprintf(`\x%02x`, text[i])
		case r == '\\':
			shown = `\\`
		case !unicode.IsPrint(r):
			shown = strings.Trim(strconv.QuoteRuneToASCII(r), "'")
		case size < 0:
			continue
		}
		if out.Len()+len(shown) > most {
			return out.String() + "..."
		}
		out.WriteString(shown)
	}
	return out.String()
}

// JSON is the line as it stands in the file, with its end.
func (l Line) JSON() []byte {
	data, err := json.Marshal(l.clean())
	if err != nil { // a time beyond the year 9999
		return fmt.Appendf(nil, "{\"stage\":%q,\"error\":\"this line has no form\"}\n", l.Stage)
	}
	return append(data, '\n')
}

// attributes are the fields of the line for the log, which has the time already.
func (l Line) attributes() []slog.Attr {
	l = l.clean()
	out := []slog.Attr{slog.String("stage", string(l.Stage))}
	text := func(key, value string) {
		if value != "" {
			out = append(out, slog.String(key, value))
		}
	}
	number := func(key string, value int) {
		if value != 0 {
			out = append(out, slog.Int(key, value))
		}
	}
	id := func(key string, value *uint32) {
		if value != nil {
			out = append(out, slog.Uint64(key, uint64(*value)))
		}
	}
	list := func(key string, value []string) {
		if len(value) > 0 {
			out = append(out, slog.Any(key, value))
		}
	}
	text("via", l.Via)
	text("user", l.User)
	text("subject", l.Subject)
	text("from", l.From)
	id("uid", l.UID)
	id("loginUID", l.LoginUID)
	number("pid", int(l.PID))
	text("process", l.Process)
	text("verb", l.Verb)
	text("method", l.Method)
	text("path", l.Path)
	text("query", l.Query)
	text("namespace", l.Namespace)
	text("pod", l.Pod)
	text("container", l.Container)
	list("command", l.Command)
	list("ports", l.Ports)
	text("file", l.File)
	text("mode", l.Mode)
	if !l.Modified.IsZero() {
		out = append(out, slog.Time("modified", l.Modified))
	}
	text("signer", l.Signer)
	text("outcome", l.Outcome)
	if l.AtStart {
		out = append(out, slog.Bool("atStart", true))
	}
	list("added", l.Added)
	list("edited", l.Edited)
	list("removed", l.Removed)
	number("status", l.Status)
	text("error", l.Error)
	if l.Took > 0 {
		out = append(out, slog.Float64("seconds", l.Took))
	}
	number("unsaid", l.Unsaid)
	number("missing", l.Missing)
	return out
}
