package audit

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "plain text ü 世": "plain text ü 世", "\x1b]0;owned\a": `\x1b]0;owned\a`, "a\nb\tc": `a\nb\tc`, `C:\x`: `C:\\x`,
		"\x9b31m": `\x9b31m`, "\u009b31m": `\u009b31m`, "\u202egnp.exe": `\u202egnp.exe`, "\xff\xfe": `\xff\xfe`, "\ufffd": "\ufffd", "it's": "it's", "'": "'",
		strings.Repeat("1234567890", 3): "12345678901234567890...",
	} {
		if got := Printable(text, 20); got != want {
			t.Errorf("%q becomes %q, not %q", text, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[31m", 10)
	f.Add("\xff\u202e\\n", 3)
	f.Fuzz(func(t *testing.T, text string, most int) {
		most = max(min(most, 1000), 0)
		got := Printable(text, most)
		if len(got) > most+len("...") || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x1b\n\r\u009b\u202e") {
			t.Fatalf("%q becomes %q", text, got)
		}
	})
}

// full is a line with every field.
func full() Line {
	id := uint32(0)
	return Line{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Stage: Done, Via: "socket", User: "u", Subject: "CN=u", From: "192.0.2.1:5", UID: &id, LoginUID: &id,
		PID: 7, Process: "curl", Verb: "exec", Method: "POST", Path: "/exec", Query: "a=b", Namespace: "default", Pod: "p", Container: "c",
		Command: []string{"ls", "-l"}, Ports: []string{"80"}, File: "f.yaml", Mode: "0644", Modified: time.Unix(1, 0), Signer: "key", Outcome: "accepted",
		AtStart: true, Added: []string{"a"}, Edited: []string{"b"}, Removed: []string{"c"}, Status: 200, Error: "e", Took: 1.5, Unsaid: 2, Missing: 3,
	}
}

// The log and the file have the same fields under the same names, and none is forgotten.
func TestFields(t *testing.T) {
	l := full()
	for i, v := 0, reflect.ValueOf(l); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("full has no %s", v.Type().Field(i).Name)
		}
	}
	var inFile map[string]any
	if err := json.Unmarshal(l.JSON(), &inFile); err != nil {
		t.Fatal(err)
	}
	inLog := map[string]any{"time": nil}
	for _, a := range l.attributes() {
		inLog[a.Key] = nil
	}
	if a, b := slices.Sorted(maps.Keys(inFile)), slices.Sorted(maps.Keys(inLog)); !slices.Equal(a, b) || len(a) != reflect.TypeFor[Line]().NumField() {
		t.Errorf("the file has\n%v, the log\n%v", a, b)
	}
	if inFile["uid"] != 0.0 || inFile["loginUID"] != 0.0 {
		t.Errorf("root is left out: %v", inFile)
	}
	if text := string(Line{Stage: Begin, Time: l.Time}.JSON()); text != `{"time":"2026-01-02T03:04:05Z","stage":"begin"}`+"\n" {
		t.Errorf("a line of nothing is %s", text)
	}
}

// Whatever a client says, a line is one line, can be printed, and is bounded, in both places.
func TestHostileLine(t *testing.T) {
	evil := "\x1b]2;x\a\n{\"stage\":\"done\"}\u009b\u202e" + strings.Repeat("A", 1<<20)
	many := slices.Repeat([]string{evil}, 5000)
	l := Line{
		Stage: Done, User: evil, Subject: evil, From: evil, Process: evil, Verb: "exec", Method: evil, Path: evil, Query: evil, Namespace: evil, Pod: evil,
		Container: evil, Command: many, Ports: many, File: evil, Mode: evil, Signer: evil, Added: many, Edited: many, Removed: many, Error: evil,
	}
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	var file bytes.Buffer
	NewTrail(&file).Record(l)
	for where, text := range map[string]string{"file": file.String(), "log": log.String()} {
		if strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\x1b\a\u009b\u202e") || len(text) > 48<<10 {
			t.Errorf("in the %s: %d bytes, %d lines: %.300q", where, len(text), strings.Count(text, "\n"), text)
		}
	}
	var back Line
	if err := json.Unmarshal(file.Bytes(), &back); err != nil || back.Added[len(back.Added)-1] != "and 4985 more" || len(back.Added) != 16 {
		t.Errorf("%d names, the last %q, %v", len(back.Added), back.Added[len(back.Added)-1], err)
	}
	if names := bounded(slices.Repeat([]string{"default/a"}, 100)); len(names) != maxNames+1 || names[maxNames] != "and 36 more" {
		t.Errorf("%d short names: %q", len(names), names[len(names)-1])
	}
}
