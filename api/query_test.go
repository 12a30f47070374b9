package api

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// What a query says of a log, and what is no such thing.
func TestLogOptions(t *testing.T) {
	for query, says := range map[string]string{
		"": "", "follow=true&tailLines=0&limitBytes=1&sinceSeconds=0": "", "tailLines=-1": "tailLines", "tailLines=99999999999999999999": "tailLines", "limitBytes=0": "limitBytes",
		"limitBytes=x": "limitBytes", "sinceSeconds=-1": "sinceSeconds", "sinceSeconds=1.5": "sinceSeconds", "sinceTime=now": "sinceTime", "sinceTime=2026-01-31T12:00:00Z": "",
		"sinceSeconds=9223372036854775807": "",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := logOptions(q); (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// Whatever a query says, a log's options are ones that can be used.
func FuzzLogOptions(f *testing.F) {
	for _, seed := range []string{"", "follow=true", "tailLines=10&previous=true", "limitBytes=1&sinceSeconds=3600", "sinceTime=2026-01-31T12:00:00.5%2B02:00", "tailLines=%00", "sinceSeconds=9223372036854775807", ";;&&=="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		o, err := logOptions(q)
		if err != nil {
			return
		}
		if o.Tail < -1 || o.LimitBytes < 0 || q.Get("sinceSeconds") != "" && o.Since.After(time.Now()) {
			t.Errorf("%q: %+v", query, o)
		}
	})
}

// Whatever a query's command is, it is one, or none.
func FuzzCommand(f *testing.F) {
	for _, seed := range []string{"", "cmd=ls", "cmd=ls+-l", "cmd=ls&cmd=-l", "cmd=", "cmd=%20", "cmd=a&cmd="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		given := q["cmd"]
		got := splitCommand(given)
		if len(given) == 1 && given[0] != "" && strings.Join(got, " ") != given[0] || len(given) > 1 && len(got) != len(given) {
			t.Errorf("%q: %q", given, got)
		}
	})
}
