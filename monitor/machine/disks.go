package machine

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/solopod/solopod/runner/foreign"
)

// Disk is a line of /proc/diskstats: the numbers in their order (Documentation/admin-guide/iostats.rst), from the reads completed on
// to the weighted time of I/O.
type Disk struct {
	Name   string // as /dev/vda
	Fields [11]float64
}

// ReadDisks reads the counters of the named devices.
func ReadDisks(names []string) []Disk {
	b, err := foreign.ReadKernel("/proc/diskstats")
	if err != nil {
		return nil
	}
	return parseDisks(b, names)
}

func parseDisks(b []byte, names []string) []Disk {
	var out []Disk
	for line := range bytes.Lines(b) {
		columns := bytes.Fields(line)
		if len(columns) < 14 {
			continue
		}
		for _, name := range names {
			if strings.TrimPrefix(name, "/dev/") != string(columns[2]) {
				continue
			}
			d, good := Disk{Name: name}, true
			for i := range d.Fields {
				v, err := strconv.ParseUint(string(columns[i+3]), 10, 64)
				d.Fields[i], good = float64(v), good && err == nil
			}
			if good {
				out = append(out, d)
			}
		}
	}
	return out
}
