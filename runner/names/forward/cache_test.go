package forward

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/solopod/solopod/runner/names/message"
)

// kept is an answer with some addresses, or a code.
func kept(t *testing.T, addresses int, ttl, negative uint32, code dnsmessage.RCode, truncated bool) *message.Kept {
	t.Helper()
	n := dnsmessage.MustNewName("www.example.com.")
	q := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	k, err := message.Keep(answered(q, addresses, func(m *dnsmessage.Message) {
		m.RCode, m.Truncated = code, truncated
		for i := range m.Answers {
			m.Answers[i].Header.TTL = ttl
		}
		if negative > 0 {
			m.Authorities = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: n, Class: dnsmessage.ClassINET, TTL: 1 << 20}, Body: &dnsmessage.SOAResource{NS: n, MBox: n, MinTTL: negative},
			}}
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestForHowLong(t *testing.T) {
	now, q := time.Unix(1e9, 0), query4(t, "www.example.com")
	for what, c := range map[string]struct {
		k    *message.Kept
		held time.Duration // zero: not at all
	}{
		"as it says":            {kept(t, 1, 60, 0, 0, false), 60 * time.Second},
		"for ever":              {kept(t, 1, 1<<30, 0, 0, false), maxTTL * time.Second},
		"not":                   {kept(t, 1, 0, 0, 0, false), 0},
		"no such name":          {kept(t, 0, 0, 30, dnsmessage.RCodeNameError, false), 30 * time.Second},
		"no such name for ever": {kept(t, 0, 0, 1<<20, dnsmessage.RCodeNameError, false), maxNegative * time.Second},
		"nothing there":         {kept(t, 0, 0, 20, 0, false), 20 * time.Second},
		"nobody says how long":  {kept(t, 0, 0, 0, dnsmessage.RCodeNameError, false), 0},
		"alias to nowhere":      {kept(t, 1, 600, 10, dnsmessage.RCodeNameError, false), 10 * time.Second},
		"failure":               {kept(t, 0, 0, 0, dnsmessage.RCodeServerFailure, false), failureTTL * time.Second},
		"half an answer":        {kept(t, 1, 60, 0, 0, true), 0},
	} {
		cache := newCache(maxCache)
		cache.put(q, c.k, now)
		if _, _, ok := cache.get(q, now.Add(c.held-1)); ok != (c.held > 0) {
			t.Errorf("%s: kept: %t", what, ok)
		}
		if _, age, ok := cache.get(q, now.Add(c.held/2)); ok != (c.held > 0) || age != uint32(c.held/2/time.Second) {
			t.Errorf("%s: kept for %d s", what, age)
		}
		if _, _, ok := cache.get(q, now.Add(c.held)); ok || cache.size != 0 || cache.order.Len() != 0 {
			t.Errorf("%s: kept too long", what)
		}
	}
	// A clock that was set back makes nothing younger.
	cache := newCache(maxCache)
	cache.put(q, kept(t, 1, 60, 0, 0, false), now)
	if _, _, ok := cache.get(q, now.Add(-time.Hour)); ok {
		t.Error("an answer from the future")
	}
}

func TestCacheIsBounded(t *testing.T) {
	now, cache := time.Unix(1e9, 0), newCache(64<<10)
	first := query4(t, "n0.example.com")
	for i := range 5000 {
		cache.put(query4(t, fmt.Sprintf("n%d.example.com", i)), kept(t, 1+i%5, 600, 0, 0, false), now)
		if _, _, ok := cache.get(first, now); !ok {
			t.Fatal("what is asked for all the time went")
		}
		if cache.size > cache.limit || len(cache.kept) != cache.order.Len() {
			t.Fatalf("%d bytes in %d entries, %d in order", cache.size, len(cache.kept), cache.order.Len())
		}
	}
	if n := len(cache.kept); n < 100 || n > 200 {
		t.Errorf("%d entries in 64 KiB", n)
	}
	// A huge answer does not drive out all others.
	n := len(cache.kept)
	cache.put(query4(t, "huge.example.com"), kept(t, 1000, 600, 0, 0, false), now)
	if len(cache.kept) != n {
		t.Errorf("%d entries", len(cache.kept))
	}
	// What no longer holds goes in time.
	for i := range n {
		cache.put(query4(t, fmt.Sprintf("later%d.example.com", i)), kept(t, 0, 0, 0, dnsmessage.RCodeServerFailure, false), now.Add(time.Hour+time.Duration(i)*time.Minute))
	}
	if len(cache.kept) > 3 {
		t.Errorf("%d entries are left", len(cache.kept))
	}
	cache.clear()
	if len(cache.kept) != 0 || cache.size != 0 || cache.limit != 64<<10 {
		t.Errorf("%+v", cache)
	}
}

// The same question by TCP has the same answer.
func TestCacheForBothProtocols(t *testing.T) {
	now, cache, q := time.Now(), newCache(maxCache), query4(t, "www.example.com")
	q.Stream = true
	cache.put(q, kept(t, 1, 600, 0, 0, false), now)
	q.Stream = false
	if _, _, ok := cache.get(q, now); !ok {
		t.Error("it is not there")
	}
	q.CD = true
	if _, _, ok := cache.get(q, now); ok {
		t.Error("another question's answer")
	}
}

// The log tells once of a server that has fallen silent, and of its return; not of each time again and again.
func TestWhatTheLogTells(t *testing.T) {
	f, u, now := newForwarder(t, Config{}), &upstream{}, time.Unix(1e9, 0)
	type told struct{ silent, back bool }
	for i, c := range []struct {
		took  time.Duration
		why   error
		after time.Duration
		want  told
	}{
		{0, context.DeadlineExceeded, 0, told{}}, {0, context.DeadlineExceeded, 0, told{true, false}}, {0, context.DeadlineExceeded, time.Hour, told{}},
		{1, nil, time.Second, told{false, true}}, {1, nil, 0, told{}},
		{0, errStrays, time.Second, told{true, false}}, {1, nil, time.Second, told{false, true}}, {0, errStrays, time.Second, told{}}, {1, nil, 0, told{}},
		{0, errStrays, tellAfter, told{true, false}},
	} {
		now = now.Add(c.after)
		silent, back := f.note(u, c.took, false, c.why, now)
		if got := (told{silent, back}); got != c.want {
			t.Errorf("%d: %+v", i, got)
		}
	}
}
