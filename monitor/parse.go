package monitor

import (
	"bytes"
	"math"
)

// The kernel's files are read at every scrape, a thousand of them: nothing here allocates.

// parseUint reads the decimal number that b begins with and returns what follows; ok is false when there is none.
func parseUint(b []byte) (n float64, rest []byte, ok bool) {
	i := 0
	var v uint64
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		if v > (math.MaxUint64-9)/10 {
			return 0, b, false
		}
		v = v*10 + uint64(b[i]-'0')
		i++
	}
	return float64(v), b[i:], i > 0
}

// number reads a file that holds one number. "max" means no limit, and is 0.
func number(k key, scale float64) parser {
	return func(s *Stats, b []byte) {
		b = bytes.TrimSpace(b)
		if string(b) == "max" {
			s.set(k, 0)
			return
		}
		if v, rest, ok := parseUint(b); ok && len(rest) == 0 {
			s.set(k, v*scale)
		}
	}
}

// parser takes what a file holds into s; it must not keep b.
type parser func(s *Stats, b []byte)

// row is a line "name number" of a table.
type row struct {
	name  string
	key   key
	scale float64
}

// table reads "name number" lines.
func table(rows ...row) parser {
	return func(s *Stats, b []byte) {
		for len(b) > 0 {
			var line []byte
			line, b = cutLine(b)
			name, value, ok := bytes.Cut(line, []byte(" "))
			if !ok {
				continue
			}
			for i := range rows {
				if string(name) != rows[i].name {
					continue
				}
				if v, rest, ok := parseUint(bytes.TrimLeft(value, " \t")); ok && len(bytes.TrimSpace(rest)) == 0 {
					s.set(rows[i].key, v*rows[i].scale)
				}
			}
		}
	}
}

func cutLine(b []byte) (line, rest []byte) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
}

// pressure reads lines like "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234", in microseconds
// (Documentation/accounting/psi.rst).
func pressure(some, full key) parser {
	return func(s *Stats, b []byte) {
		for len(b) > 0 {
			var line []byte
			line, b = cutLine(b)
			kind, rest, _ := bytes.Cut(line, []byte(" "))
			k := some
			if string(kind) == "full" {
				k = full
			} else if string(kind) != "some" {
				continue
			}
			for n := 0; len(rest) > 0; n++ {
				var field []byte
				field, rest, _ = bytes.Cut(rest, []byte(" "))
				name, value, _ := bytes.Cut(field, []byte("="))
				if string(name) == "total" {
					if v, after, ok := parseUint(value); ok && len(after) == 0 {
						s.set(k, v*1e-6)
					}
				} else if n < 3 {
					s.averages[k-cpuWaiting][n] = parseHundredths(value)
				}
			}
		}
	}
}

// parseHundredths reads a number like 1.25.
func parseHundredths(b []byte) float64 {
	whole, rest, ok := parseUint(b)
	if !ok || len(rest) != 3 || rest[0] != '.' {
		return 0
	}
	part, _, _ := parseUint(rest[1:])
	return whole + part/100
}

// parseDevice reads "8:16 " and returns what follows.
func parseDevice(b []byte) (major, minor uint32, rest []byte, ok bool) {
	m, rest, ok := parseUint(b)
	if !ok || len(rest) == 0 || rest[0] != ':' {
		return 0, 0, b, false
	}
	n, rest, ok := parseUint(rest[1:])
	if !ok || len(rest) == 0 || rest[0] != ' ' {
		return 0, 0, b, false
	}
	return uint32(m), uint32(n), rest[1:], true
}

// blkio reads cgroup v1's lines "8:16 Read 1234".
func blkio(bytesNotCount bool) parser {
	return func(s *Stats, b []byte) {
		for len(b) > 0 {
			var line []byte
			line, b = cutLine(b)
			major, minor, rest, ok := parseDevice(line)
			if !ok {
				continue
			}
			operation, value, _ := bytes.Cut(rest, []byte(" "))
			v, _, ok := parseUint(value)
			if !ok {
				continue
			}
			d := s.device(major, minor)
			switch {
			case string(operation) == "Read" && bytesNotCount:
				d.readBytes = v
			case string(operation) == "Write" && bytesNotCount:
				d.writeBytes = v
			case string(operation) == "Read":
				d.reads = v
			case string(operation) == "Write":
				d.writes = v
			}
		}
	}
}

// ioStat reads cgroup v2's lines "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0".
func ioStat(s *Stats, b []byte) {
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		major, minor, rest, ok := parseDevice(line)
		if !ok {
			continue
		}
		d := s.device(major, minor)
		for len(rest) > 0 {
			var field []byte
			field, rest, _ = bytes.Cut(rest, []byte(" "))
			name, value, _ := bytes.Cut(field, []byte("="))
			v, _, ok := parseUint(value)
			if !ok {
				continue
			}
			switch string(name) {
			case "rbytes":
				d.readBytes = v
			case "wbytes":
				d.writeBytes = v
			case "rios":
				d.reads = v
			case "wios":
				d.writes = v
			default:
				d.cost(string(name), v)
			}
		}
	}
}

// cost takes a number of a model of the device, in microseconds.
func (d *deviceStats) cost(name string, v float64) {
	for i := range costNames {
		if name == costNames[i] {
			d.costs[i], d.costed = v*1e-6, true
		}
	}
}

// costNames are in the order of a deviceStats' costs.
var costNames = [4]string{"cost.usage", "cost.wait", "cost.indebt", "cost.indelay"}

// hugeNumber reads a file that holds one number of huge pages.
func hugeNumber(size string, of func(*hugeStats) *float64) parser {
	return func(s *Stats, b []byte) {
		if v, rest, ok := parseUint(bytes.TrimSpace(b)); ok && len(rest) == 0 {
			*of(s.hugepages(size)) = v
		}
	}
}

// hugeEvents reads cgroup v2's hugetlb.2MB.events, as "max 3".
func hugeEvents(size string) parser {
	return func(s *Stats, b []byte) {
		for len(b) > 0 {
			var line []byte
			line, b = cutLine(b)
			if text, ok := bytes.CutPrefix(line, []byte("max ")); ok {
				hugeNumber(size, hugeFailed)(s, text)
			}
		}
	}
}

func hugeUsage(h *hugeStats) *float64  { return &h.usage }
func hugeMost(h *hugeStats) *float64   { return &h.most }
func hugeFailed(h *hugeStats) *float64 { return &h.failed }

// processList reads cgroup.procs.
func processList(s *Stats, b []byte) {
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		if pid, _, ok := parseUint(line); ok {
			s.pids = append(s.pids, uint32(pid))
		}
	}
	s.set(processes, float64(len(s.pids)))
}

// cpuMax reads cgroup v2's "quota period".
func cpuMax(s *Stats, b []byte) {
	quota, period, _ := bytes.Cut(bytes.TrimSpace(b), []byte(" "))
	if v, _, ok := parseUint(quota); ok {
		s.set(cpuQuota, v)
	}
	if v, _, ok := parseUint(period); ok {
		s.set(cpuPeriod, v)
	}
}

// cpuWeight turns cgroup v2's weight, 1 to 10000, into v1's shares, 2 to 262144: the inverse of what runc does.
func cpuWeight(s *Stats, b []byte) {
	if v, _, ok := parseUint(bytes.TrimSpace(b)); ok && v > 0 {
		s.set(cpuShares, math.Round(2+(v-1)*262142/9999))
	}
}

// negativeOrNumber reads a limit whose absence is -1.
func negativeOrNumber(k key) parser {
	set := number(k, 1)
	return func(s *Stats, b []byte) {
		if len(b) > 0 && b[0] != '-' {
			set(s, b)
		}
	}
}

// legacyLimit reads a limit of cgroup v1, where the largest number of pages means that there is none.
func legacyLimit(k key) parser {
	set := number(k, 1)
	return func(s *Stats, b []byte) {
		if set(s, b); s.values[k] > 1<<60 {
			s.values[k] = 0
		}
	}
}
