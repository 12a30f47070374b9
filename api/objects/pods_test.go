package objects

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Who watches a pod that is removed sees it end as it was, and begin anew where it comes back.
func TestSeen(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	pod := func(version string, started, ending *metav1.Time) *v1.Pod {
		return &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{UID: types.UID("u"), ResourceVersion: version, DeletionTimestamp: ending}, Status: v1.PodStatus{StartTime: started},
		}
	}
	var known map[string]*v1.Pod
	for i, c := range []struct {
		pods []*v1.Pod
		want string
	}{
		{[]*v1.Pod{pod("1", nil, nil)}, "1"},
		{[]*v1.Pod{pod("2", &at, nil)}, "2"},
		{[]*v1.Pod{pod("3", &at, &at)}, "3"},
		{[]*v1.Pod{pod("4", nil, &at)}, "3"}, // cleared
		{[]*v1.Pod{pod("5", nil, nil)}, "5"},
		{[]*v1.Pod{pod("6", &at, &at)}, "6"},
		{[]*v1.Pod{pod("7", nil, &at)}, "6"},
		{nil, ""},
		{[]*v1.Pod{pod("8", nil, &at)}, "8"}, // it was cleared before anybody watched
	} {
		now := Seen(known, c.pods)
		got := ""
		for _, pod := range now {
			got += pod.ResourceVersion
		}
		if known = now; got != c.want {
			t.Errorf("%d: %q, not %q", i, got, c.want)
		}
	}
}
