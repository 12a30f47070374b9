package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A watch remembers the rows of what there is, and no events: there is always another one.
func TestWatchRemembers(t *testing.T) {
	var out bytes.Buffer
	w := &following{selection: &selection{noHeaders: true}, out: &out, last: map[string]string{}}
	shows := func(k *kind, how string, i item) {
		t.Helper()
		if err := w.print(changed{k, how, i}); err != nil {
			t.Fatal(err)
		}
	}
	pod := func(phase v1.PodPhase) item {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "1"}, Status: v1.PodStatus{Phase: phase}}
		return item{&p.ObjectMeta, p}
	}
	shows(podKind, "ADDED", pod(v1.PodPending))
	shows(podKind, "MODIFIED", pod(v1.PodPending))
	shows(podKind, "MODIFIED", pod(v1.PodRunning))
	if n := strings.Count(out.String(), "web"); n != 2 || len(w.last) != 1 {
		t.Errorf("%d rows, and %d remembered:\n%s", n, len(w.last), out.String())
	}
	shows(podKind, deleted, pod(v1.PodRunning))
	for n := range 100 {
		e := &v1.Event{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("e", n), UID: types.UID(fmt.Sprint(n))}, Reason: "Started"}
		shows(eventKind, "ADDED", item{&e.ObjectMeta, e})
	}
	if n := strings.Count(out.String(), "Started"); n != 100 || len(w.last) != 0 {
		t.Errorf("%d events, and %d rows remembered", n, len(w.last))
	}
}
