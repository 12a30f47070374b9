package spool

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solopod/solopod/runner/logs/cri"
)

// FuzzParse: whatever a file holds that waits for a log, it is damaged, or for one absolute path of a log, and what is delivered are
// whole lines of the CRI format, no more than the file has.
func FuzzParse(f *testing.F) {
	const line = "2026-01-01T00:00:00.000000000Z stdout F text\n"
	header := `{"version":1,"log":"/var/log/pods/a/0.log","size":"00000000000000000010"}` + "\n"
	for _, seed := range []string{
		header + line, header + line + "2026-01-01T00:00:00Z stdout", header + "\x00\x00\n" + line, header, "", "\n", "null\n", "{}\n" + line,
		strings.Replace(header, "/var/log", "../../etc", 1) + line, strings.Replace(header, "0.log", "../../../etc/x.log", 1), strings.Replace(header, "0000010", "-1", 1),
		strings.Replace(header, `"0000000000`, `"99999999999999999`, 1),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, _, text, err := parseSpool(data)
		if err != nil {
			return
		}
		if !filepath.IsAbs(h.Log) || strings.Contains(h.Log, "/../") || !strings.HasSuffix(h.Log, ".log") {
			t.Fatalf("it is for %q", h.Log)
		}
		if len(text) > len(data) {
			t.Fatalf("%d bytes became %d", len(data), len(text))
		}
		for l := range bytes.Lines(text) {
			if _, err := cri.Parse(bytes.TrimSuffix(l, []byte("\n"))); err != nil || !bytes.HasSuffix(l, []byte("\n")) {
				t.Fatalf("it delivers %q: %v", l, err)
			}
		}
	})
}
