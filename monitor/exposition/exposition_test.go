package exposition

import (
	"bytes"
	"math"
	"testing"
)

// source is what the families of these tests tell.
type source struct {
	used   float64
	errors map[string]float64 // by interface
}

var rows = []Row[source]{
	{Name: "used_bytes", Help: "What is used,\nin C:\\", Values: func(s *source, to *Samples) { to.Add(s.used) }},
	{Name: "errors_total", Help: "Errors", Counter: true, Labels: []string{"interface", "way"}, Values: func(s *source, to *Samples) {
		for name, n := range s.errors {
			to.Add(n, name, "in")
		}
	}},
}

func scrape(e *Endpoint[source], owners map[string]source) string {
	e.Begin()
	for name, s := range owners {
		e.Add(e.Owner(name, "pod", name), &s)
	}
	var out bytes.Buffer
	e.Write(&out)
	return out.String()
}

// Families are sorted, labels too; one without a sample is left out; a number is as short as it can be. A second scrape, which uses what the
// first has made, writes the same.
func TestText(t *testing.T) {
	e := New(rows)
	const used = "# HELP used_bytes What is used,\\nin C:\\\\\n# TYPE used_bytes gauge\n"
	for name, c := range map[string]struct {
		owner string
		from  source
		want  string
	}{
		"no errors":   {"web", source{used: 1 << 40}, used + "used_bytes{pod=\"web\"} 1099511627776\n"},
		"a fraction":  {"web", source{used: 0.25}, used + "used_bytes{pod=\"web\"} 0.25\n"},
		"no number":   {"web", source{used: math.NaN()}, used + "used_bytes{pod=\"web\"} NaN\n"},
		"without end": {"web", source{used: math.Inf(1)}, used + "used_bytes{pod=\"web\"} +Inf\n"},
		"escapes":     {"a\"b\\c\nd\xff", source{}, used + `used_bytes{pod="a\"b\\c\nd\\xff"} 0` + "\n"},
		"labels": {"web", source{errors: map[string]float64{"eth0": 3}},
			"# HELP errors_total Errors\n# TYPE errors_total counter\nerrors_total{interface=\"eth0\",pod=\"web\",way=\"in\"} 3\n" + used + "used_bytes{pod=\"web\"} 0\n"},
	} {
		for range 2 {
			if got := scrape(e, map[string]source{c.owner: c.from}); got != c.want {
				t.Errorf("%s: got\n%s, want\n%s", name, got, c.want)
			}
		}
	}
}

// What a scrape has no sample of is forgotten: pods come and go as long as Solopod runs.
func TestForgets(t *testing.T) {
	e := New(rows)
	scrape(e, map[string]source{"a": {errors: map[string]float64{"eth0": 1, "eth1": 2}}, "b": {}})
	if len(e.owners) != 2 || len(e.series) != 4 {
		t.Errorf("%d owners and %d series", len(e.owners), len(e.series))
	}
	scrape(e, map[string]source{"a": {errors: map[string]float64{"eth0": 1}}})
	if len(e.owners) != 1 || len(e.series) != 2 {
		t.Errorf("%d owners and %d series are left", len(e.owners), len(e.series))
	}
	if out := scrape(e, nil); out != "" || len(e.owners)+len(e.series) > 0 {
		t.Errorf("without a sample there is %q, of %d owners and %d series", out, len(e.owners), len(e.series))
	}
}

// An owner that the caller keeps outlives scrapes without it.
func TestKeptOwner(t *testing.T) {
	e, o := New(rows), NewOwner("machine", "id", "x")
	for range 3 {
		e.Begin()
		e.Add(o, &source{used: 1})
		var out bytes.Buffer
		if e.Write(&out); !bytes.HasSuffix(out.Bytes(), []byte("used_bytes{id=\"x\"} 1\n")) {
			t.Errorf("%q", out.String())
		}
		scrape(e, nil)
	}
}

// Samples may come in another order than the last time, be fewer or more, and have labels that look alike: each has its own line.
func TestOrder(t *testing.T) {
	type sample struct {
		value  float64
		labels []string
	}
	list := []Row[[]sample]{{Name: "x_total", Help: "X", Counter: true, Labels: []string{"a", "b"}, Values: func(s *[]sample, to *Samples) {
		for _, one := range *s {
			to.Add(one.value, one.labels...)
		}
	}}}
	e, o := New(list), NewOwner("o")
	line := func(a, b, value string) string { return `x_total{a="` + a + `",b="` + b + "\"} " + value + "\n" }
	for n, c := range []struct {
		samples []sample
		want    string
	}{
		{[]sample{{1, []string{"p", "q"}}, {2, []string{"pq", ""}}, {3, []string{"", "pq"}}}, line("p", "q", "1") + line("pq", "", "2") + line("", "pq", "3")},
		{[]sample{{4, []string{"pq", ""}}, {5, []string{"p", "q"}}}, line("pq", "", "4") + line("p", "q", "5")},
		{[]sample{{6, []string{"p", "q"}}, {7, []string{"pq", ""}}, {8, []string{"", "pq"}}, {9, []string{"n", "n"}}}, line("p", "q", "6") + line("pq", "", "7") + line("", "pq", "8") + line("n", "n", "9")},
		{[]sample{{1, []string{"p", "q"}}, {2, []string{"p", "q"}}, {3, []string{"pq", ""}}}, line("p", "q", "2") + line("pq", "", "3")},
		{nil, ""},
		{[]sample{{1, []string{"p", "q"}}}, line("p", "q", "1")},
	} {
		for range 2 {
			e.Begin()
			e.Add(o, &c.samples)
			var out bytes.Buffer
			e.Write(&out)
			if _, got, _ := bytes.Cut(out.Bytes(), []byte("counter\n")); string(got) != c.want {
				t.Errorf("scrape %d: got\n%s, want\n%s", n, got, c.want)
			}
		}
		e.Reset()
	}
}

func TestTextOfOtherBytes(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "web.yaml": "web.yaml", "b\u00fcro": "b\u00fcro", "b\xfcro": `b\xfcro`, "\xff\xfe": `\xff\xfe`, "a\uFFFD\xc3": "a\uFFFD" + `\xc3`,
	} {
		if got := Text(value); got != want {
			t.Errorf("%q is %q, not %q", value, got, want)
		}
	}
}
