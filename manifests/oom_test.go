package manifests

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestParseOOMStop(t *testing.T) {
	for text, want := range map[string]OOMStop{
		"3/10m": {3, 10 * time.Minute}, "1/1s": {1, time.Second}, "100/720h": {100, 720 * time.Hour}, "5/1h30m": {5, 90 * time.Minute}, "2/90s": {2, 90 * time.Second},
	} {
		got, err := ParseOOMStop(text)
		if err != nil || got != want {
			t.Errorf("%s is %+v (%v)", text, got, err)
		}
		if again, err := ParseOOMStop(got.String()); err != nil || again != want {
			t.Errorf("%s is written as %s", text, got)
		}
	}
	for text, says := range map[string]string{
		"": "of the form", "3": "of the form", "3 in 10m": "of the form", "0/10m": "whole number", "-1/10m": "whole number", "101/10m": "between 1 and 100", "many/10m": "whole number",
		"3/10": "with its unit", "3/": "with its unit", "3/10 m": "with its unit", "3/-1m": "must lie between", "3/1ms": "must lie between", "3/721h": "must lie between 1s and 720h",
	} {
		if got, err := ParseOOMStop(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q is %+v (%v)", text, got, err)
		}
	}
}

func TestOOMStopOf(t *testing.T) {
	for _, c := range []struct {
		action, after, want string
	}{
		{"", "", ""}, {"container", "", ""}, {"pod", "", ""}, {"stop", "", "3/10m"}, {"stop", "2/1h", "2/1h"}, {"stop", "nonsense", "3/10m"}, {"pod", "2/1h", ""},
	} {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{OOMActionAnnotation: c.action, OOMStopAfterAnnotation: c.after}}}
		stop, ok := OOMStopOf(pod)
		if ok != (c.want != "") || ok && stop.String() != c.want {
			t.Errorf("%q, %q: %s (%t)", c.action, c.after, stop, ok)
		}
	}
}
