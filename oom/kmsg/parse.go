package kmsg

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Record is one record of the log as the kernel gives it.
type Record struct {
	// Facility is 0 for the kernel's own; processes that write to the log cannot have it.
	Facility, Level int
	Sequence        uint64
	// Uptime is when it was written, by the clock of the kernel's log: about CLOCK_MONOTONIC, which stands still while the machine sleeps.
	Uptime    time.Duration
	Continued bool
	Caller    string
	Text      string
}

var errForm = errors.New("it has another form than Linux 3.5 and later give records of the log")

// Parse reads a record (Documentation/ABI/testing/dev-kmsg):
//
//	6,4063,1865775705,-,caller=T17;text
//	 SUBSYSTEM=...
//
// There may be more fields before the semicolon.
func Parse(raw []byte) (r Record, err error) {
	head, text, ok := split(string(raw))
	fields := strings.Split(head, ",")
	if !ok || len(fields) < 4 {
		return r, errForm
	}
	priority, err1 := strconv.ParseUint(fields[0], 10, 31)
	sequence, err2 := strconv.ParseUint(fields[1], 10, 64)
	micros, err3 := strconv.ParseInt(fields[2], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || micros < 0 || micros > int64(maxUptime/time.Microsecond) {
		return r, errForm
	}
	r = Record{
		Facility: int(priority >> 3), Level: int(priority & 7), Sequence: sequence, Uptime: time.Duration(micros) * time.Microsecond,
		Continued: fields[3] == "c",
	}
	for _, f := range fields[4:] {
		if caller, ok := strings.CutPrefix(f, "caller="); ok && r.Caller == "" {
			r.Caller = caller
		}
	}
	r.Text, _, _ = strings.Cut(text, "\n")
	return r, nil
}

const maxUptime = 100 * 365 * 24 * time.Hour

// longestName is how long a process' name is at most.
const longestName = 15

// split splits a record before its text. From 6.18 on the last field may be a process' name, which the kernel writes as it is
// (CONFIG_PRINTK_EXECUTION_CTX): it may have semicolons in it, and ends.
func split(raw string) (head, text string, ok bool) {
	head, text, ok = strings.Cut(raw, ";")
	before, _, named := strings.Cut(head, ",comm=")
	if !named {
		return head, text, ok
	}
	rest := raw[len(before)+len(",comm="):]
	end := strings.LastIndex(rest[:min(len(rest), longestName+1)], ";")
	if end < 0 {
		return "", "", false
	}
	return before, rest[end+1:], true
}
