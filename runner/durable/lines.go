package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// ReadLines gives take the lines of a file of Solopod's own, of its last limit bytes at most; take says whether a line is one of ours.
// whole says that nothing else was in the file. A file that is missing is empty; one that has lines, but none of ours, is an error, in
// which what is our word for one.
func ReadLines(path string, limit int64, what string, take func(line []byte) bool) (whole bool, err error) {
	data, whole, err := readEnd(path, limit)
	if err != nil {
		return false, err
	}
	taken := 0
	for line := range bytes.Lines(data) {
		if bytes.HasSuffix(line, []byte("\n")) && take(line) {
			taken++
		} else {
			whole = false // such as the line that a power cut left
		}
	}
	if taken == 0 && bytes.Contains(data, []byte("\n")) {
		return false, fmt.Errorf("no %s is in it", what)
	}
	return whole, nil
}

// readEnd returns the end of a regular file, and whether it is all of it.
func readEnd(path string, limit int64) (data []byte, whole bool, err error) {
	f, err := OpenFile(path, os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close() //nolint:errcheck // only read from
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	from := max(info.Size()-limit, 0)
	data, err = io.ReadAll(io.NewSectionReader(f, from, limit))
	return data, from == 0, err
}

// Append writes data behind what is in a file of Solopod's own, which it makes where there is none, waits for the disk with sync, and
// returns the file's size. After an error part of data may be at the file's end.
func Append(path string, data []byte, mode os.FileMode, sync bool) (size int64, err error) {
	f, err := OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, mode)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // what counts was synced
	if _, err := f.Write(data); err != nil {
		return 0, err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return 0, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
