package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/solopod/solopod/audit"
	"github.com/solopod/solopod/internal/stuck"
	"github.com/solopod/solopod/runner/foreign"
)

// While the disk of the audit file hangs nobody waits; what has no room in memory is counted, and the file says where lines are missing.
func TestTrailOnStuckDisk(t *testing.T) {
	dir := t.TempDir()
	freeze, thaw := stuck.Disk(t, dir)
	c := defaults()
	c.AuditLog = filepath.Join(dir, "audit.log")
	trail, err := newTrail(c)
	if err != nil {
		t.Fatal(err)
	}
	trail.Record(audit.Line{Stage: audit.Done, Verb: "first"})
	trail.queue.flush(10 * time.Second)
	freeze()
	began := time.Now()
	const lines = 5000
	for range lines {
		trail.Record(audit.Line{Stage: audit.Done, Verb: "more", Error: strings.Repeat("x", 600)})
	}
	trail.end()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	var m dto.Metric
	if err := trail.lost().(prometheus.Metric).Write(&m); err != nil || m.Counter.GetValue() < lines/4 || m.Counter.GetValue() > lines {
		t.Errorf("%v are lost, %v", m.Counter, err)
	}
	thaw()
	trail.queue.flush(10 * time.Second)
	trail.Record(audit.Line{Stage: audit.Done, Verb: "last"})
	trail.queue.flush(10 * time.Second)
	data, err := foreign.ReadFile(c.AuditLog, 16<<20)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if !strings.Contains(text, `"verb":"first"`) || !strings.Contains(text, `"stage":"lost","missing":`) || !strings.Contains(text, `"verb":"last"`) {
		t.Errorf("it holds %d bytes, of which the last are %s", len(text), text[max(len(text)-1000, 0):])
	}
}

// A start makes the file, before there is a line: who has named a place that will not do learns it then.
func TestTrailBegins(t *testing.T) {
	for place, made := range map[string]bool{"audit.log": true, "none/audit.log": false} {
		c := defaults()
		c.AuditLog = filepath.Join(t.TempDir(), place)
		said := &lockedBuffer{}
		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(said, nil)))
		t.Cleanup(func() { slog.SetDefault(before) })
		if _, err := newTrail(c); err != nil {
			t.Fatal(err)
		}
		looks := time.NewTicker(time.Millisecond)
		for deadline := time.Now().Add(10 * time.Second); ; <-looks.C {
			_, err := os.Stat(c.AuditLog)
			if made && err == nil || !made && strings.Contains(said.String(), "cannot write audit lines") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v, %q", place, err, said.String())
			}
		}
		looks.Stop()
	}
}

func TestAuditFile(t *testing.T) {
	for want, change := range map[string]func(*config){
		"":                                 func(c *config) { c.AuditLog = "/var/log/solopod-audit.log" },
		"auditLog must be an absolute":     func(c *config) { c.AuditLog = "audit.log" },
		`auditLogMaxSize "1Ki" is not`:     func(c *config) { c.AuditLog, c.AuditLogMaxSize = "/a", "1Ki" },
		`auditLogMaxSize "much" is not`:    func(c *config) { c.AuditLog, c.AuditLogMaxSize = "/a", "much" },
		"auditLogMaxBackups cannot be neg": func(c *config) { c.AuditLog, c.AuditLogMaxBackups = "/a", -1 },
		"auditLogMaxBackups cannot be mor": func(c *config) { c.AuditLog, c.AuditLogMaxBackups = "/a", 100_000_000 },
	} {
		c := defaults()
		change(&c)
		_, err := c.auditFile()
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// lockedBuffer is for a log that is written to meanwhile.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
