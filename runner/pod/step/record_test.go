package step_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/runner/pod/plan"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/runner/pod/step"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestFormerRecord: a record as it was written before records had a version is taken up with all that it says.
func TestFormerRecord(t *testing.T) {
	data, err := os.ReadFile("testdata/record-0.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := state.Decode(data, "uid", host, true)
	if err != nil {
		t.Fatal(err)
	}
	if s.Adoption != (state.Adoption{Sandbox: true, Containers: true}) {
		t.Errorf("what exists is not to be found out: %+v", s.Adoption)
	}
	if s.Applied != s.Pod {
		t.Error("the pod that was applied is not the pod of the record")
	}
	var before, after map[string]any
	again, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []error{json.Unmarshal(data, &before), json.Unmarshal(again, &after)} {
		if e != nil {
			t.Fatal(e)
		}
	}
	for name, c := range after["containers"].(map[string]any) {
		if begun, _ := c.(map[string]any)["begun"].(bool); !begun {
			t.Errorf("%s waits for the hooks of others, and has run", name)
		}
		delete(c.(map[string]any), "begun")
	}
	delete(after, "version")
	delete(before["pod"].(map[string]any)["metadata"].(map[string]any), "creationTimestamp")
	if !reflect.DeepEqual(before, after) {
		t.Errorf("something is lost:\n%s\n%s", data, again)
	}
	golden(t, "testdata/record-1.json", again)
}

// golden compares with a file.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("%s differs (go test -update writes it):\n%s\n%s", file, want, got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"nothing": "", "zeros": "\x00\x00\x00", "half": `{"version":1,"pod":{"meta`, "no pod": `{"version":1}`,
		"another's": `{"pod":{"metadata":{"uid":"other"}}}`, "null container": `{"pod":{"metadata":{"uid":"uid"}},"containers":{"a":null}}`,
		"negative attempt": `{"pod":{"metadata":{"uid":"uid"}},"containers":{"a":{"attempt":-1}}}`, "a list": `[]`,
	} {
		if _, err := state.Decode([]byte(data), "uid", host, true); err == nil {
			t.Errorf("%s is taken for a record", name)
		}
	}
	_, err := state.Decode([]byte(`{"version":99,"pod":{"metadata":{"uid":"uid"}}}`), "uid", host, true)
	if !errors.Is(err, state.ErrVersion) {
		t.Errorf("a later version: %v", err)
	}
}

// FuzzDecode: whatever a record says, it is refused, or a state that can be planned, and whose record is itself.
func FuzzDecode(f *testing.F) {
	for _, file := range []string{"testdata/record-0.json", "testdata/record-1.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"pod":{"metadata":{"uid":"uid"}},"leftovers":{"x":null},"containers":{"a":{"running":true}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := state.Decode(data, "uid", host, true)
		if err != nil {
			return
		}
		once, err := s.Encode()
		if err != nil {
			t.Skip(err) // a time beyond the year 9999, for one
		}
		again, err := state.Decode(once, "uid", host, true)
		if err != nil {
			t.Fatalf("%v\n%s", err, once)
		}
		twice, err := again.Encode()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%v\n%s\n%s", err, once, twice)
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		s = step.Step(s, state.Listed{Asked: now, At: now})
		s = step.Step(s, state.Desired{At: now})
		plan.Plan(s, now)
	})
}

// TestEncoderFollowsPods: what the encoder remembers is of these pods.
func TestEncoderFollowsPods(t *testing.T) {
	d := newDriver(1)
	encoder := state.Encoder{}
	for range 60 {
		d.step()
		want, err := d.s.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := encoder.Encode(d.s); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v\n%s\n%s", err, got, want)
		}
	}
}

// TestSameRecord: states that are said to have the same record have it.
func TestSameRecord(t *testing.T) {
	same := 0
	for seed := range uint64(20) {
		d := newDriver(seed)
		for range 100 {
			before := d.s
			d.step()
			a, errA := before.Encode()
			b, errB := d.s.Encode()
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if !state.SameRecord(&before, &d.s) {
				continue
			}
			same++
			if !bytes.Equal(a, b) {
				t.Fatalf("not the same:\n%s\n%s", a, b)
			}
		}
	}
	if same == 0 {
		t.Error("no step left the record as it was")
	}
}

// TestClockMoved: every time of this boot in a record moves with the clock.
func TestClockMoved(t *testing.T) {
	data, err := os.ReadFile("testdata/record-0.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := state.Decode(data, "uid", host, true)
	if err != nil {
		t.Fatal(err)
	}
	s.DeletedAt = s.StartTime
	before, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	moved := step.Step(s, state.ClockMoved{Moved: 24 * time.Hour, Booted: time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)})
	after, err := moved.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(after), `"2026-01-01T`); n > 0 {
		t.Errorf("%d times of %d stayed:\n%s", n, strings.Count(string(before), `"2026-01-01T`), after)
	}
	if again, err := s.Encode(); err != nil || !bytes.Equal(again, before) {
		t.Error("the step has changed its input")
	}
	early := step.Step(s, state.ClockMoved{Moved: time.Hour, Booted: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)})
	if !early.StartTime.Equal(s.StartTime) {
		t.Error("a time of an earlier boot has moved")
	}
}
