// Package ooms serves what is known of processes that the kernel killed for memory, with an explanation of each.
package ooms

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/api/answer"
	"github.com/solopod/solopod/api/objects"
	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/amount"
	"github.com/solopod/solopod/oom/explain"
	"github.com/solopod/solopod/oom/record"
)

// Kill is one of /ooms.
type Kill struct {
	record.Record `json:",inline"`
	// Message explains it to people. Names of processes are in it as they were.
	Message string `json:"message"`
}

// Served is what /ooms shows.
type Served struct {
	// Records are all there are, the oldest first; they are the caller's.
	Records func() []record.Record
	// Pods are those that there are.
	Pods func() []*v1.Pod
}

// Readers adds the path, which only reads.
func (s Served) Readers(mux *http.ServeMux) { mux.HandleFunc("GET /ooms", s.list) }

// list answers with all kills, or those of a namespace or of pods of a name; with a limit with the newest ones.
func (s Served) list(w http.ResponseWriter, r *http.Request) {
	limit, err := most(r.URL.Query())
	if err != nil {
		answer.Fail(w, http.StatusBadRequest, err)
		return
	}
	pods := map[string]*v1.Pod{}
	for _, p := range s.Pods() {
		pods[string(p.UID)] = p
	}
	namespace, pod := r.URL.Query().Get("namespace"), r.URL.Query().Get("pod")
	list := objects.List[Kill]{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}, Items: []Kill{}}
	kills := slices.DeleteFunc(s.Records(), func(k record.Record) bool {
		return namespace != "" && k.Pod.Namespace != namespace || pod != "" && k.Pod.Name != pod
	})
	for _, k := range kills[max(len(kills)-limit, 0):] {
		list.Items = append(list.Items, Kill{k, explain.Sentence(k, specOf(pods[k.Pod.UID], k.Container))})
	}
	answer.JSON(w, list)
}

// most is how many are wanted at most: all where no limit is given. An empty one is a mistake of who asks, whose variable is not set.
func most(query url.Values) (int, error) {
	if !query.Has("limit") {
		return math.MaxInt, nil
	}
	limit := query.Get("limit")
	n, err := strconv.Atoi(limit)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("limit=%s: it is a number of kills, 1 or more", limit)
	}
	return n, nil
}

// specOf is what a pod's manifest gives a container; pod is nil when there is none any more.
func specOf(pod *v1.Pod, container string) (s explain.Spec) {
	if pod == nil {
		return s
	}
	s.Known = true
	if r := pod.Spec.Resources; r != nil {
		s.PodLimit = amount.Whole(*r.Limits.Memory())
	}
	if c := manifests.ContainerOf(pod, container); c != nil {
		s.Request, s.Limit = amount.Whole(*c.Resources.Requests.Memory()), amount.Whole(*c.Resources.Limits.Memory())
	}
	return s
}
