package runner

import (
	"os"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
	"github.com/solopod/solopod/runner/layout"
)

// records keeps the pods' records in files, one for each.
type records struct{ dirs layout.Dirs }

// Write implements pod.Records.
func (r records) Write(uid string, data []byte) error {
	if err := os.MkdirAll(r.dirs.RecordDir(uid), 0o700); err != nil {
		return err
	}
	return durable.Replace(r.dirs.RecordPath(uid), data, 0o600)
}

// Sync implements pod.Records.
func (r records) Sync(uid string) error { return durable.Sync(r.dirs.RecordPath(uid)) }

// Remove implements pod.Records.
func (r records) Remove(uid string) error { return foreign.RemoveAll(r.dirs.RecordDir(uid)) }
