package watch

import (
	"fmt"
	"testing"

	"github.com/solopod/solopod/oom/record"
)

func TestMemoryCgroup(t *testing.T) {
	const hybrid = "9:name=systemd:/\n8:pids:/p\n4:memory:/solopod/c1\n0::/unified\n"
	for _, c := range []struct {
		text    string
		unified bool
		want    string
	}{
		{hybrid, false, "/solopod/c1"}, {hybrid, true, "/unified"},
		{"12:cpu,memory:/a:b\n", false, "/a:b"}, {"4:memory:/\n", false, ""}, {"0::/a/b (deleted)\n", true, "/a/b"}, {"", true, ""}, {"junk", false, ""},
	} {
		if got := memoryCgroup(c.text, c.unified); got != c.want {
			t.Errorf("%q: %q, not %q", c.text, got, c.want)
		}
	}
	if got := cgroupOf(1 << 30); got != "" {
		t.Errorf("a process that does not exist is in %q", got)
	}
}

func TestParsePressure(t *testing.T) {
	for text, want := range map[string]*record.Pressure{
		"some avg10=1.50 avg60=0.10 avg300=0.00 total=7\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=3\n": {Some: 1.5, Full: 0.25},
		"some avg10=1.50 avg60=0": {Some: 1.5}, "": nil, "some avg10=x": nil, "other": nil,
	} {
		if got := parsePressure(text); (got == nil) != (want == nil) || got != nil && fmt.Sprint(*got) != fmt.Sprint(*want) {
			t.Errorf("%q: %+v", text, got)
		}
	}
}
