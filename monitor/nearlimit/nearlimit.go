// Package nearlimit says how near the memory of a cgroup is to its limit: the kernel kills when it reaches it and nothing can be taken
// back.
package nearlimit

// Memory is what a cgroup uses, in bytes, and its limit. Limit is zero where there is none.
type Memory struct {
	Usage, ActiveFile, InactiveFile, Limit float64
}

// Ratio is the part of the limit that the kernel cannot take back, where there is a limit. Cached files do not count, not even those that
// were used lately, which a working set has: the kernel drops all of them before it kills. A program that reads many files fills its
// limit with them, and is not near its end. File systems in memory do count.
func (m Memory) Ratio() (ratio float64, limited bool) {
	if m.Limit <= 0 {
		return 0, false
	}
	return max(m.Usage-m.ActiveFile-m.InactiveFile, 0) / m.Limit, true
}
