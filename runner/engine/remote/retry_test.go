package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// answers is a registry of a test: each request gets the next answer.
type answers struct {
	began time.Time
	next  []reply
	// asked are the requests, with the time since the first.
	asked []string
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.began.IsZero() {
		a.began = time.Now()
	}
	a.asked = append(a.asked, strings.TrimSpace(fmt.Sprintf("%s %s %s", time.Since(a.began), r.Method, r.Header.Get("Range"))))
	if len(a.next) == 0 {
		return nil, errors.New("more was asked than there are answers")
	}
	f := a.next[0]
	a.next = a.next[1:]
	return f.to(r)
}

// reply is an answer, or why there is none.
type reply struct {
	code   int
	header []string
	err    error
	// blob is what the answer has, up to the byte lost, where its connection ends with that error.
	blob string
	lost int
	with error
}

func (a reply) to(r *http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	resp := &http.Response{StatusCode: a.code, Status: strconv.Itoa(a.code), Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}
	for i := 0; i+1 < len(a.header); i += 2 {
		resp.Header.Set(a.header[i], a.header[i+1])
	}
	if a.blob == "" {
		return resp, nil
	}
	first := 0
	if asked := r.Header.Get("Range"); asked != "" {
		if _, err := fmt.Sscanf(asked, "bytes=%d-", &first); err != nil {
			return nil, err
		}
		resp.StatusCode = http.StatusPartialContent
		resp.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, len(a.blob)-1, len(a.blob)))
	}
	resp.ContentLength = int64(len(a.blob) - first)
	resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(a.blob[first:a.lost]), failing{a.with}))
	return resp, nil
}

func status(code int, header ...string) reply { return reply{code: code, header: header} }

func lets(err error) reply { return reply{err: err} }

// part answers with the bytes that are asked for, up to one where the connection is lost.
func part(blob string, lost int, with error) reply {
	return reply{code: http.StatusOK, blob: blob, lost: lost, with: with}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// get asks for a blob, and reads it.
func (a *answers) get(ctx context.Context, t *testing.T) (code int, body []byte, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://registry.example/blob", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&transport{next: a, pauses: newPauses(), quiet: time.Minute}).RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

func is(t *testing.T, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		t.Errorf("asked: %s, want %s", strings.Join(got, "; "), strings.Join(want, "; "))
	}
}

// A registry that is busy is asked again when it says, or after a while; not for ever, and not where it says much later.
func TestBusy(t *testing.T) {
	for name, test := range map[string]struct {
		answers []reply
		asked   []string
		code    int
		err     error
	}{
		"as it says":          {[]reply{status(429, "Retry-After", "7"), status(503, "Retry-After", "3"), status(200)}, []string{"0s GET", "7s GET", "10s GET"}, 200, nil},
		"it says nothing":     {[]reply{status(429), status(429), status(200)}, []string{"0s GET", "1s GET", "3s GET"}, 200, nil},
		"it stays so":         {[]reply{status(429), status(429), status(429), status(429), status(429)}, []string{"0s GET", "1s GET", "3s GET", "7s GET", "15s GET"}, 0, ErrBusy},
		"much later":          {[]reply{status(429, "Retry-After", "3600")}, []string{"0s GET"}, 0, ErrBusy},
		"a fault":             {[]reply{status(502), status(500), status(503)}, []string{"0s GET", "1s GET", "3s GET"}, 503, nil},
		"it lets go":          {[]reply{lets(syscall.ECONNRESET), status(200)}, []string{"0s GET", "1s GET"}, 200, nil},
		"it is not there":     {[]reply{lets(syscall.ECONNREFUSED)}, []string{"0s GET"}, 0, syscall.ECONNREFUSED},
		"it does not have it": {[]reply{status(404)}, []string{"0s GET"}, 404, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{next: test.answers}
				code, _, err := a.get(t.Context(), t)
				is(t, a.asked, test.asked...)
				if !errors.Is(err, test.err) || code != test.code {
					t.Errorf("%d, %v", code, err)
				}
			})
		})
	}
}

// What a host has said holds for all pulls, and nobody waits for it longer than wanted.
func TestBusyForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &transport{next: &answers{next: []reply{status(429, "Retry-After", "60"), status(200)}}, pauses: newPauses(), quiet: time.Minute}
		ask := func(limit time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://registry.example/x", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := shared.RoundTrip(r)
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		for range 2 {
			if err := ask(5 * time.Second); !errors.Is(err, context.DeadlineExceeded) || !NoAnswer(err) {
				t.Error(err)
			}
		}
		if err := ask(2 * time.Minute); err != nil {
			t.Error(err)
		}
		is(t, shared.next.(*answers).asked, "0s HEAD", "1m0s HEAD")
	})
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "x": 0, "-1": 0, "0": 0, "90": 90 * time.Second, "4294967295": time.Hour, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0, "Fri, 02 Jan 2099 03:04:00 GMT": time.Hour,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

// A layer whose connection is lost goes on where it was, as often as it takes while bytes come; not where none do, or the registry
// knows no ranges.
func TestResume(t *testing.T) {
	blob := strings.Repeat("0123456789", 10)
	const at = ":8080: "
	for name, test := range map[string]struct {
		answers []reply
		asked   []string
		err     error
	}{
		"whole": {[]reply{part(blob, 100, io.EOF)}, []string{"0s GET"}, nil},
		"lost twice": {[]reply{part(blob, 30, fmt.Errorf("read %s%w", at, syscall.ECONNRESET)), part(blob, 70, io.ErrUnexpectedEOF), part(blob, 100, io.EOF)},
			[]string{"0s GET", "1s GET bytes=30-99", "2s GET bytes=70-99"}, nil},
		"away for a while": {[]reply{part(blob, 30, ErrStalled), lets(syscall.ECONNRESET), lets(syscall.ECONNRESET), lets(syscall.ECONNRESET), status(503, "Retry-After", "5"), part(blob, 100, io.EOF)},
			[]string{"0s GET", "1s GET bytes=30-99", "2s GET bytes=30-99", "4s GET bytes=30-99", "6s GET bytes=30-99", "11s GET bytes=30-99"}, nil},
		"no ranges":      {[]reply{part(blob, 30, syscall.ECONNRESET), status(200)}, []string{"0s GET", "1s GET bytes=30-99"}, io.ErrUnexpectedEOF},
		"logged out":     {[]reply{part(blob, 30, syscall.ECONNRESET), status(401)}, []string{"0s GET", "1s GET bytes=30-99"}, io.ErrUnexpectedEOF},
		"the wrong part": {[]reply{part(blob, 30, syscall.ECONNRESET), status(206, "Content-Range", "bytes 29-99/100")}, []string{"0s GET", "1s GET bytes=30-99"}, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{next: test.answers}
				_, got, err := a.get(t.Context(), t)
				is(t, a.asked, test.asked...)
				if !errors.Is(err, test.err) || err == nil && !bytes.Equal(got, []byte(blob)) {
					t.Errorf("%q, %v", got, err)
				}
			})
		})
	}
}

// A connection that brings nothing more ends the pull within its limit, and so does who no longer wants it.
func TestResumeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{next: []reply{part("0123456789", 5, syscall.ECONNRESET)}}
		for range 100 {
			a.next = append(a.next, lets(syscall.ECONNRESET))
		}
		began := time.Now()
		_, _, err := a.get(t.Context(), t)
		if took := time.Since(began); !errors.Is(err, syscall.ECONNRESET) || !strings.Contains(err.Error(), "5 of 10 bytes") || took > time.Minute+10*time.Second {
			t.Errorf("%v after %s", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		a.next = []reply{part("0123456789", 5, syscall.ECONNRESET)}
		if _, _, err = a.get(ctx, t); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// A disk that takes long for what has come is not a connection that brings nothing: it goes on where it was lost meanwhile.
func TestResumeAfterSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blob := "0123456789"
		a := &answers{next: []reply{part(blob, 5, syscall.ECONNRESET), part(blob, 10, io.EOF)}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://registry.example/blob", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&transport{next: a, pauses: newPauses(), quiet: time.Minute}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		first := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, first); err != nil {
			t.Fatal(err)
		}
		<-time.After(10 * time.Minute)
		if rest, err := io.ReadAll(resp.Body); err != nil || string(first)+string(rest) != blob {
			t.Errorf("%s%s, %v", first, rest, err)
		}
	})
}

func contextWithin(t *testing.T, limit time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), limit)
}
