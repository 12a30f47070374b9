package sandbox

import "github.com/solopod/solopod/runner/logs"

// links are those of log shippers.
func (s *Sandboxes) links() logs.Links { return logs.Links{Root: s.Dirs.LinkRoot()} }
