package ooms

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/oom/record"
)

func TestList(t *testing.T) {
	limit := int64(256 << 20)
	kill := func(id, namespace, pod string) record.Record {
		r := record.Record{ID: id, Time: time.Unix(1, 0).UTC(), Process: "java", PID: 17, Owner: record.Pod, Limit: &limit, Cgroup: "/c", Source: record.Log}
		if pod != "" {
			r.Pod, r.Container = record.PodName{UID: "uid of " + pod, Namespace: namespace, Name: pod}, "main"
		}
		return r
	}
	from := Served{
		Records: func() []record.Record {
			return []record.Record{kill("1", "default", "web"), kill("2", "shop", "web"), kill("3", "default", "gone"), kill("4", "", "")}
		},
		Pods: func() []*v1.Pod {
			memory := v1.ResourceList{v1.ResourceMemory: resource.MustParse("100Mi")}
			return []*v1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "uid of web"}, Spec: v1.PodSpec{
				Resources:  &v1.ResourceRequirements{Limits: memory},
				Containers: []v1.Container{{Name: "main", Resources: v1.ResourceRequirements{Limits: memory, Requests: memory}}},
			}}}
		},
	}
	mux := http.NewServeMux()
	from.Readers(mux)
	for _, limit := range []string{"0", "-1", "x", ""} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ooms?limit="+limit, nil))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "1 or more") {
			t.Errorf("limit %s: %d, %s", limit, w.Code, w.Body)
		}
	}
	for query, want := range map[string]string{
		"": "1 2 3 4", "?namespace=default": "1 3", "?pod=web": "1 2", "?namespace=shop&pod=web": "2", "?namespace=none": "", "?pod=web&namespace=default": "1",
		"?limit=2": "3 4", "?limit=9": "1 2 3 4", "?limit=1&namespace=default": "3",
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ooms"+query, nil))
		var list objects.List[Kill]
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, k := range list.Items {
			ids = append(ids, k.ID)
			says := map[string]string{"1": "not at the container's of 100Mi", "3": "not at the container's: ", "4": "belongs to no pod"}[k.ID]
			if k.Process != "java" || *k.Limit != limit || !strings.Contains(k.Message, says) {
				t.Errorf("%+v", k)
			}
		}
		if got := strings.Join(ids, " "); got != want || list.Items == nil || list.Kind != "List" {
			t.Errorf("%q: %q, not %q", query, got, want)
		}
	}
}
