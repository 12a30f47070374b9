package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	records "github.com/solopod/solopod/workload/record"
	"github.com/solopod/solopod/workload/shown"
)

// seenRecord is the file of it, by kind/namespace/name.
type seenRecord struct {
	Objects map[string]shown.Seen `json:"objects"`
}

// mostGone bounds how many objects are remembered that no file has: one that cannot be read may stay so for months, while others come
// and go.
const mostGone = 1000

// loadSeen reads the file. What is none is set aside: the objects are then new.
func loadSeen(s *records.Store) map[string]shown.Seen {
	var out seenRecord
	if err := s.Read(&out); err != nil {
		s.SetAside("the record of the objects' ages, which are new from now on,", err)
		return map[string]shown.Seen{}
	}
	if out.Objects == nil {
		return map[string]shown.Seen{}
	}
	return out.Objects
}

// note writes down what is seen first or in a new version. The maps that were handed on before stay as they are.
func (c *Controller) note(now time.Time) {
	s := &c.snapshot
	n := noted{before: c.seen, now: now.Round(0).UTC().Truncate(time.Second), after: map[string]shown.Seen{}} // as the API has times
	for key, o := range s.Deployments {
		n.versioned("deployment/"+key, o.Spec)
	}
	for key, o := range s.ReplicaSets {
		n.versioned("replicaset/"+key, o.Spec)
	}
	for key, o := range s.StatefulSets {
		n.versioned("statefulset/"+key, o.Spec)
		n.template("statefulset/"+key, o.Spec.Template)
	}
	for key, o := range s.DaemonSets {
		n.versioned("daemonset/"+key, o.Spec)
	}
	for key, o := range s.Jobs {
		n.versioned("job/"+key, o.Spec)
	}
	for key, o := range s.CronJobs {
		n.versioned("cronjob/"+key, o.Spec)
	}
	notedAll(&n, "configmap/", s.ConfigMaps)
	notedAll(&n, "secret/", s.Secrets)
	notedAll(&n, "persistentvolumeclaim/", s.Claims)
	for _, name := range shown.NamespacesOf(s) {
		n.object("namespace/" + name)
	}
	if unsure(s) {
		n.keepGone()
	}
	c.seen = n.after
	c.saveSeen()
}

// settle notes the version that all pods of a StatefulSet have.
func (c *Controller) settle() {
	changed := false
	for key := range c.snapshot.StatefulSets {
		key = "statefulset/" + key
		if s := c.seen[key]; c.looked.replicas[key].Done && s.Current != s.Template {
			if !changed {
				c.seen, changed = maps.Clone(c.seen), true
			}
			s.Current = s.Template
			c.seen[key] = s
		}
	}
	if changed {
		c.saveSeen()
	}
}

func (c *Controller) saveSeen() {
	if _, only := c.seen["namespace/default"]; only && len(c.seen) == 1 && !c.seenStore.Saved() {
		return // there is nothing
	}
	if err := c.seenStore.Save(seenRecord{c.seen}); err != nil {
		slog.Error("cannot write down the objects' ages", "err", err)
	}
}

// noted is the record while it is made.
type noted struct {
	before, after map[string]shown.Seen
	now           time.Time
}

func (n *noted) object(key string) shown.Seen {
	s, known := n.before[key]
	if !known {
		s.Since = n.now
	}
	n.after[key] = s
	return s
}

func (n *noted) versioned(key string, spec any) {
	s := n.object(key)
	if is := digest(spec); s.Spec != is {
		s.Spec = is
		s.Generation++
	}
	n.after[key] = s
}

func (n *noted) template(key string, template any) {
	s := n.after[key]
	s.Template = digest(template)
	if s.Current == "" {
		s.Current = s.Template
	}
	n.after[key] = s
}

func notedAll[T metav1.Object](n *noted, kind string, of map[string]T) {
	for key := range of {
		n.object(kind + key)
	}
}

// keepGone adds what was known before of what is not there.
func (n *noted) keepGone() {
	gone := 0
	for _, key := range slices.Sorted(maps.Keys(n.before)) {
		if _, is := n.after[key]; is {
			continue
		}
		if gone++; gone > mostGone {
			return
		}
		n.after[key] = n.before[key]
	}
}

// digest identifies a value of the Kubernetes API.
func digest(of any) string {
	text, err := json.Marshal(of)
	if err != nil {
		return "" // these always encode
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:5])
}

// unsure: a file that cannot be read may have what is not there.
func unsure(s *manifests.Snapshot) bool {
	return s.DirectoryError != "" || slices.ContainsFunc(s.Files, func(f manifests.File) bool { return f.State == manifests.StateInvalid })
}
