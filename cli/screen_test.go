package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/solopod/solopod/cli/visible"
)

// hostile is what a container may say: a new title, a cleared screen, a line that is none of ours, and the like for other terminals.
const hostile = "\x1b]0;owned\a\x1b[2J\x1b[1;1HFAKE\r\nEvents: <none>\tx\u009b2J\u202egnp\x7f"

// printed is what a command that prints to a screen leaves there.
func printed(t *testing.T, show func(w io.Writer) error) string {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close() // only read from
	done := make(chan error, 1)
	go func() {
		s := &screen{w: write}
		err := show(s)
		s.end()
		write.Close() // the reader sees what is missing
		done <- err
	}()
	text, err := io.ReadAll(read)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Characters that are written in parts are whole on the screen, and what is none never reaches it.
func TestScreen(t *testing.T) {
	if got := printed(t, func(w io.Writer) error {
		for _, b := range []byte("ä語🙂\x1b[2J\xff\xf0\x9f") {
			if n, err := w.Write([]byte{b}); n != 1 || err != nil {
				t.Errorf("a byte is written as %d (%v)", n, err)
			}
		}
		return nil
	}); got != `ä語🙂^[[2J\xff\xf0\x9f` {
		t.Errorf("%q", got)
	}
	if got := printed(t, func(w io.Writer) error {
		io.WriteString(verbatim(w), "\x1b[2J") //nolint:errcheck // seen in what is printed
		return control(w, resetColour)
	}); got != "\x1b[2J"+resetColour {
		t.Errorf("%q", got)
	}
}

// Connections of a port-forward say what went wrong at the same time: with the race detector this fails without a lock.
func TestScreenOfSeveral(t *testing.T) {
	const writers, lines = 8, 50
	got := printed(t, func(w io.Writer) error {
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				for range lines {
					io.WriteString(w, "ä line\n") //nolint:errcheck // seen in what is printed
				}
			})
		}
		all.Wait()
		return nil
	})
	if got != strings.Repeat("ä line\n", writers*lines) {
		t.Errorf("%q", got)
	}
}

// Neither a row nor a line of a description can be made by what stands in one.
func TestHostileTextStaysInItsPlace(t *testing.T) {
	one := table{header: []string{"NAME", "MESSAGE", "AGE"}, rows: [][]string{{"x", hostile, "3s"}}}
	got := printed(t, one.write)
	if strings.Count(got, "\n") != 2 || !strings.Contains(got, visible.Line(hostile)+"   3s\n") {
		t.Errorf("the table is\n%s", got)
	}
	d := &describer{indent: "  "}
	d.line("Message", "%s", hostile+"\n")
	d.item("%s: %s", "volume", hostile)
	want := "  Message:         ^[]0;owned^G^[[2J^[[1;1HFAKE\\r\n                   Events: <none>\tx\\u009b2J\\u202egnp\\u007f\n  volume: " + visible.Line(hostile) + "\n"
	if d.b.String() != want {
		t.Errorf("described is\n%s\nwant\n%s", d.b.String(), want)
	}
	if one.rows[0][1] != hostile {
		t.Error("the table's own cells were changed")
	}
}

// A painted table has the program's colours and no other sequence.
func TestPaintedTable(t *testing.T) {
	pods := table{header: []string{"NAME", "STATUS", "AGE"}, rows: [][]string{{"a", "Running", "3s"}, {"b", "bad\x1b[2J", "3s"}}, painted: 1, colour: statusColour}
	got := printed(t, pods.visible().writePainted)
	if want := "NAME   STATUS     AGE\na      " + green + "Running" + resetColour + "    3s\nb      " + red + "bad^[[2J" + resetColour + "   3s\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What programs read on is the same with escapes as without.
func TestHostileTextInData(t *testing.T) {
	p := &v1.Pod{Status: v1.PodStatus{Message: hostile}}
	for output, want := range map[string]string{"jsonpath={.status.message}": hostile, "name": hostile + "\n"} {
		s := selection{output: output}
		if got := printed(t, func(w io.Writer) error { return s.print(w, p, table{}, hostile) }); got != want {
			t.Errorf("-o %s prints %q", output, got)
		}
	}
	s := selection{output: "json"}
	got := printed(t, func(w io.Writer) error { return s.print(w, p, table{}) })
	var back v1.Pod
	if err := json.Unmarshal([]byte(got), &back); err != nil || back.Status.Message != hostile || visible.Text(got) != got {
		t.Errorf("-o json: %v, %q", err, got)
	}
	s.output, p.Status.Message = "yaml", hostile+"\uFFFE\uFFFF"
	got = printed(t, func(w io.Writer) error { return s.print(w, p, table{}) })
	if err := yaml.Unmarshal([]byte(got), &back); err != nil || back.Status.Message != p.Status.Message {
		t.Errorf("-o yaml: %v, %q", err, got)
	}
	p.Status.Message = hostile
	s.output = "custom-columns=M:.status.message"
	if got := printed(t, func(w io.Writer) error { return s.print(w, p, table{}) }); got != "M\n"+visible.Line(hostile)+"\n" {
		t.Errorf("columns: %q", got)
	}
}

// The daemon's log is safe to read, whoever has written the line.
func TestHostileTextInTheLog(t *testing.T) {
	var out bytes.Buffer
	q := newLogQueue(&out, 1<<10, func(int) []byte { return nil })
	if n, err := q.Write([]byte("error: \x1b[2J\n")); n != len("error: \x1b[2J\n") || err != nil {
		t.Errorf("%d (%v)", n, err)
	}
	q.flush(10 * time.Second)
	if out.String() != "error: ^[[2J\n" {
		t.Errorf("%q", out.String())
	}
}
