// Package cri is the format of a container's log file that kubelets and log shippers know (CRI, kubelet's
// pkg/kubelet/kuberuntime/logs): "<time> <stream> <F|P> <text>". It does no I/O.
package cri

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// MaxLine is where a line without an end is split, in bytes, as containerd's CRI does (16 KiB).
const MaxLine = 16 << 10

// Line is one line of a CRI log.
type Line struct {
	Time    time.Time
	Stream  string
	Partial bool
	Text    []byte
}

var errFormat = errors.New("the line is not in the CRI log format")

// Parse reads one line, without its newline. Text shares memory with b.
func Parse(b []byte) (Line, error) {
	stamp, rest, ok := bytes.Cut(b, []byte(" "))
	if !ok {
		return Line{}, errFormat
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return Line{}, fmt.Errorf("%w: %w", errFormat, err)
	}
	stream, rest, ok := bytes.Cut(rest, []byte(" "))
	if !ok || string(stream) != "stdout" && string(stream) != "stderr" {
		return Line{}, errFormat
	}
	tag, text, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return Line{}, errFormat
	}
	return Line{at, string(stream), bytes.HasPrefix(tag, []byte("P")), text}, nil
}
