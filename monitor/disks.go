package monitor

import (
	"bytes"
	"strings"

	"github.com/solopod/solopod/runner/foreign"
)

// disk is a line of /proc/diskstats: the numbers in their order (Documentation/admin-guide/iostats.rst), from the reads completed on
// to the weighted time of I/O.
type disk struct {
	name   string // as /dev/vda
	fields [11]float64
}

// readDisks reads the counters of the named devices.
func readDisks(names []string) []disk {
	b, err := foreign.ReadKernel("/proc/diskstats")
	if err != nil {
		return nil
	}
	return parseDisks(b, names)
}

func parseDisks(b []byte, names []string) []disk {
	var out []disk
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		columns := bytes.Fields(line)
		if len(columns) < 14 {
			continue
		}
		for _, name := range names {
			if strings.TrimPrefix(name, "/dev/") != string(columns[2]) {
				continue
			}
			d, good := disk{name: name}, true
			for i := range d.fields {
				v, rest, ok := parseUint(columns[i+3])
				d.fields[i], good = v, good && ok && len(rest) == 0
			}
			if good {
				out = append(out, d)
			}
		}
	}
	return out
}
