package unused

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/solopod/solopod/runner/collect"
	"github.com/solopod/solopod/runner/engine"
)

// box is what stands behind the paths: an image app:1, which a pod uses.
type box struct {
	asked   []collect.Pruning
	removed []string
	err     error
}

func (b *box) Prune(_ context.Context, p collect.Pruning) (collect.Pruned, error) {
	b.asked = append(b.asked, p)
	return collect.Pruned{Removed: []collect.Entry{{Names: []string{"old:1"}, Size: 7}}, Kept: []collect.Entry{}, Freed: 7}, b.err
}

func (b *box) UsersOf(_ context.Context, means func(name, digest string) bool) ([]string, error) {
	if means("docker.io/library/app:1", "sha256:1") {
		return []string{"pod x/z", "pod x/y", "pod x/y"}, b.err
	}
	return nil, b.err
}

func (b *box) Remove(_ context.Context, ref string) error {
	switch ref {
	case "none:1":
		return fmt.Errorf("image none:1: %w", engine.ErrNotFound)
	case "N":
		return engine.ErrInvalidName
	case "hangs:1":
		return errors.New("no answer")
	}
	b.removed = append(b.removed, ref)
	return nil
}

func (b *box) answer(method, path string) (int, string) {
	mux := http.NewServeMux()
	Served{b, b}.Changers(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Body.String()
}

func TestRemove(t *testing.T) {
	for query, want := range map[string]struct {
		code    int
		says    string
		removed bool
	}{
		"":                       {400, "ref is missing", false},
		"?ref=app:1":             {409, "image app:1 is used by pod x/y, pod x/z; with --force it goes nevertheless", false},
		"?ref=app:1&force=false": {409, "is used by", false},
		"?ref=app:1&force=true":  {200, "images", true},
		"?ref=other:1":           {200, "images", true},
		"?ref=none:1":            {404, "not found", false},
		"?ref=N":                 {400, "invalid", false},
		"?ref=hangs:1":           {500, "no answer", false},
	} {
		b := &box{}
		code, text := b.answer(http.MethodDelete, "/images"+query)
		if code != want.code || !strings.Contains(text, want.says) || (len(b.removed) == 1) != want.removed {
			t.Errorf("%s: %d %s, removed %q", query, code, text, b.removed)
		}
	}
	b := &box{err: errors.New("it is not known who uses images")}
	if code, text := b.answer(http.MethodDelete, "/images?ref=other:1"); code != 503 || !strings.Contains(text, "not known") || len(b.removed) > 0 {
		t.Errorf("%d %s", code, text)
	}
}

func TestPrune(t *testing.T) {
	for query, want := range map[string]collect.Pruning{
		"": {}, "?all=true&dryRun=1": {All: true, DryRun: true}, "?olderThan=24h": {Unused: 24 * time.Hour}, "?all=false": {},
	} {
		b := &box{}
		code, text := b.answer(http.MethodPost, "/images/prune"+query)
		if code != 200 || !strings.Contains(text, "old:1") || !reflect.DeepEqual(b.asked, []collect.Pruning{want}) {
			t.Errorf("%s: %d %s, asked %+v", query, code, text, b.asked)
		}
		if again, err := parse(Query(want)); err != nil || again != want {
			t.Errorf("%+v becomes %+v, %v", want, again, err)
		}
	}
	for query, says := range map[string]string{"?all=perhaps": "all is true or false", "?olderThan=-1h": "is not a duration", "?olderThan=old": "is not a duration"} {
		b := &box{}
		if code, text := b.answer(http.MethodPost, "/images/prune"+query); code != 400 || !strings.Contains(text, says) || len(b.asked) > 0 {
			t.Errorf("%s: %d %s", query, code, text)
		}
	}
	b := &box{err: errors.New("try again")}
	if code, text := b.answer(http.MethodPost, "/images/prune"); code != 503 || !strings.Contains(text, "try again") {
		t.Errorf("%d %s", code, text)
	}
}
