package cli

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/solopod/solopod/audit"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
)

// mostAudit is how many bytes of audit lines wait for their disk.
const mostAudit = 1 << 20

// minAudit is the least size of the file of audit lines: a line has room in it.
const minAudit = 64 << 10

// mostBackups is how many older files of audit lines may be kept.
const mostBackups = 1000

// trail is where audit lines go, and the file's queue, so that nobody waits for its disk. file and queue are nil where none is configured.
type trail struct {
	*audit.Trail
	file  *audit.Log
	queue *logQueue
}

// newTrail begins the trail of the configuration. It lives as long as the process.
func newTrail(c config) (trail, error) {
	file, err := c.auditFile()
	if err != nil || file == nil {
		return trail{Trail: audit.NewTrail(nil)}, err
	}
	queue := newLogQueue(file, mostAudit, func(lost int) []byte {
		return audit.Line{Time: time.Now().UTC(), Stage: audit.Lost, Missing: lost}.JSON()
	}, file.Open)
	return trail{audit.NewTrail(queue), file, queue}, nil
}

// auditFile is the file of audit lines of the configuration, nil for none.
func (c *config) auditFile() (*audit.Log, error) {
	if c.AuditLog != "" && !filepath.IsAbs(c.AuditLog) {
		return nil, fmt.Errorf("auditLog must be an absolute path, not %q", c.AuditLog)
	}
	size, err := resource.ParseQuantity(c.AuditLogMaxSize)
	if err != nil || amount.Whole(size) < minAudit {
		return nil, fmt.Errorf("auditLogMaxSize %q is not a size like 10Mi, of at least 64Ki", c.AuditLogMaxSize)
	}
	if c.AuditLogMaxBackups < 0 {
		return nil, fmt.Errorf("auditLogMaxBackups cannot be negative: it counts older files, and is %d", c.AuditLogMaxBackups)
	}
	if c.AuditLogMaxBackups > mostBackups { // each is renamed when the file is begun anew
		return nil, fmt.Errorf("auditLogMaxBackups cannot be more than %d, and is %d", mostBackups, c.AuditLogMaxBackups)
	}
	if c.AuditLog == "" {
		return nil, nil
	}
	return &audit.Log{Path: c.AuditLog, MaxSize: amount.Whole(size), MaxBackups: c.AuditLogMaxBackups}, nil
}

// end waits for the lines to be written, but not for a disk that hangs.
func (t trail) end() {
	if t.queue != nil {
		t.queue.flush(lastFlush)
	}
}

// lost counts lines that never came into the file.
func (t trail) lost() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "solopod_audit_lines_lost_total", Help: "Audit lines that could not be written to their file (auditLog): its disk was full or did not answer",
	}, func() float64 {
		if t.queue == nil {
			return 0
		}
		return float64(t.queue.everLost() + t.file.Lost())
	})
}

// changed writes down what a version of a manifest file has changed.
func (t trail) changed(c manifests.Change) {
	l := audit.Line{
		Stage: audit.File, Via: "file", File: c.File, Outcome: "accepted", Error: c.Refused, AtStart: c.AtStart,
		Added: c.Added, Edited: c.Edited, Removed: c.Removed,
	}
	switch {
	case c.Gone:
		l.Outcome = "removed"
	case c.Refused != "":
		l.Outcome = "refused"
	}
	if o := c.Origin; o != nil {
		l.UID, l.Mode, l.Modified, l.Signer = &o.UID, fmt.Sprintf("%04o", o.Mode), o.Modified.UTC(), o.Signer
	}
	t.Record(l)
}
