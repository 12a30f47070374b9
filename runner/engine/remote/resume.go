package remote

import (
	"fmt"
	"io"
	"net/http"
	"time"
)

// resumable has an answer go on with what is missing of it when its connection is lost. What comes in parts is still looked at as a
// whole: its digest is known.
func (t *transport) resumable(r *http.Request, resp *http.Response) {
	if r.Method != http.MethodGet || resp.Header.Get("Content-Encoding") != "" || resp.Uncompressed || resp.ContentLength <= 0 {
		return
	}
	b := &body{transport: t, request: r, part: resp.Body}
	switch resp.StatusCode {
	case http.StatusOK:
		b.size = resp.ContentLength
	case http.StatusPartialContent:
		first, last, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok {
			return
		}
		b.next, b.size = first, last+1
	default:
		return
	}
	resp.Body = b
}

// contentRange reads the bytes that an answer has: bytes 5-9/10 or bytes 5-9/*.
func contentRange(value string) (first, last int64, ok bool) {
	n, err := fmt.Sscanf(value, "bytes %d-%d/", &first, &last)
	return first, last, err == nil && n == 2 && first >= 0 && first <= last
}

// body is an answer in as many parts as it takes.
type body struct {
	*transport
	request *http.Request
	part    io.ReadCloser
	// next is the byte that comes next, of size.
	next, size int64
	// began is since when somebody waits for it: time in which the disk takes what has come is not the registry's.
	began time.Time
	lost  error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.began = time.Now()
	for {
		if b.lost != nil {
			if err := b.reopen(); err != nil {
				return 0, err
			}
		}
		n, err := b.part.Read(p)
		b.next += int64(n)
		if err == nil || b.next >= b.size || !isLost(err) || b.request.Context().Err() != nil {
			return n, err
		}
		b.lost = err
		if n > 0 {
			return n, nil
		}
	}
}

// Close implements io.Closer.
func (b *body) Close() error { return b.part.Close() }

// reopen asks for what is missing, until the connection has brought nothing for too long.
func (b *body) reopen() error {
	b.part.Close() //nolint:errcheck // it is lost
	for pause := firstPause; ; pause = min(2*pause, 8*firstPause) {
		if time.Since(b.began)+pause > b.quiet {
			return fmt.Errorf("%w; %d of %d bytes have come, and the rest could not be had within %s", b.lost, b.next, b.size, b.quiet)
		}
		if err := sleep(b.request.Context(), pause); err != nil {
			return err
		}
		again := b.request.Clone(b.request.Context())
		again.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", b.next, b.size-1))
		resp, err := b.ask(again)
		if err != nil {
			if b.request.Context().Err() != nil || !NoAnswer(err) {
				return err
			}
			continue
		}
		first, last, ok := contentRange(resp.Header.Get("Content-Range"))
		if resp.StatusCode == http.StatusPartialContent && ok && first == b.next && last < b.size {
			b.part, b.lost = resp.Body, nil
			return nil
		}
		resp.Body.Close() //nolint:errcheck // nobody wants it
		if resp.StatusCode < http.StatusInternalServerError {
			return io.ErrUnexpectedEOF // containerd asks anew, and logs in anew
		}
	}
}
