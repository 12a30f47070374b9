package forms

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLabel(t *testing.T) {
	for text, want := range map[string]string{
		"web": "web", "My_Web.App": "my-web-app", "--a--": "a", "db_": "db", "9": "9", "___": "", "": "", "héllo": "h--llo",
		strings.Repeat("a", 62) + "_b": strings.Repeat("a", 62),
	} {
		if got, ok := Label(text); got != want || ok != (want != "") {
			t.Errorf("Label(%q) = %q, %t, want %q", text, got, ok, want)
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"a b  c":              {"a", "b", "c"},
		`sh -c 'a b'`:         {"sh", "-c", "a b"},
		`a "b \"c\" $D" e`:    {"a", `b "c" $D`, "e"},
		`a\ b ''`:             {"a b", ""},
		"a\\\nb":              {"ab"},
		"  \n\t ":             nil,
		`"\n"`:                {`\n`},
		`--x='y z'w "q"'r' s`: {"--x=y zw", "qr", "s"},
	} {
		if got, err := Words(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("Words(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`'a`, `a "b`} {
		if got, err := Words(text); err == nil {
			t.Errorf("Words(%q) = %q", text, got)
		}
	}
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "1m30s": 90 * time.Second, "1.5s": 1500 * time.Millisecond, "2d": 48 * time.Hour, "1w1d1h": 193 * time.Hour, "0": 0, "500ms": time.Second / 2,
	} {
		if got, err := Duration(text); err != nil || got != want {
			t.Errorf("Duration(%q) = %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "-1s", "soon", "xd", "99999999d"} {
		if got, err := Duration(text); err == nil {
			t.Errorf("Duration(%q) = %s", text, got)
		}
	}
	if got := []int32{Seconds(1500*time.Millisecond, 1), Seconds(0, 1), Seconds(0, 0), Seconds(time.Minute, 1)}; !slices.Equal(got, []int32{2, 1, 0, 60}) {
		t.Errorf("whole seconds are %d", got)
	}
}

func TestAmounts(t *testing.T) {
	for text, want := range map[string]string{"64m": "64Mi", "1.5gb": "1536Mi", "512K": "512Ki", "1024": "1Ki", "2GiB": "2Gi", "100b": "100", "1t": "1Ti", "0": "0"} {
		if got, err := Size(text); err != nil || got.String() != want {
			t.Errorf("Size(%q) = %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "lots", "-1m", "1e300g", "NaN", "1x"} {
		if got, err := Size(text); err == nil {
			t.Errorf("Size(%q) = %v", text, got)
		}
	}
	for text, want := range map[string]string{"0.5": "500m", "2": "2", "0.0001": "1m", "1.25": "1250m"} {
		if got, err := CPUs(text); err != nil || got.String() != want {
			t.Errorf("CPUs(%q) = %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "many", "1e9", "NaN"} {
		if got, err := CPUs(text); err == nil {
			t.Errorf("CPUs(%q) = %v", text, got)
		}
	}
}

func TestPorts(t *testing.T) {
	for text, want := range map[string]string{
		"80":                      "0>80/TCP",
		"8080:80":                 "8080>80/TCP",
		"53:53/udp":               "53>53/UDP",
		"127.0.0.1:8080:80":       "127.0.0.1 8080>80/TCP",
		"127.0.0.1::80":           "127.0.0.1 0>80/TCP",
		"0.0.0.0:80:80":           "80>80/TCP",
		"[::1]:80:80":             "::1 80>80/TCP",
		"5000-5002:6000-6002/tcp": "5000>6000/TCP 5001>6001/TCP 5002>6002/TCP",
		"9000-9010:80":            "9000>80/TCP", // the first one that is free
		"7000-7001":               "0>7000/TCP 0>7001/TCP",
	} {
		got, err := Ports(text)
		var parts []string
		for _, p := range got {
			parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %d>%d/%s", p.IP, p.Host, p.Container, p.Protocol)))
		}
		if err != nil || strings.Join(parts, " ") != want {
			t.Errorf("Ports(%q) = %v, %v, want %s", text, parts, err, want)
		}
	}
	for _, text := range []string{"", "0", "65536", "a:80", "80:b", "1-3:1-2", "3-1", "1-2000", "80/icmp", "host:80:80", "::1:80:80:x"} {
		if got, err := Ports(text); err == nil {
			t.Errorf("Ports(%q) = %v", text, got)
		}
	}
}

func TestLiteral(t *testing.T) {
	for text, want := range map[string]string{"plain": "plain", "$HOME": "$HOME", "$(X)": "$$(X)", "$$": "$$$$", "a$(b)$(c)": "a$$(b)$$(c)"} {
		if got := Literal(text); got != want {
			t.Errorf("Literal(%q) = %q, want %q", text, got, want)
		}
	}
}
