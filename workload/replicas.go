package workload

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/pod/state"
	"github.com/solopod/solopod/workload/rollout"
)

// replicated is a Deployment, StatefulSet, DaemonSet or ReplicaSet.
type replicated struct {
	kind string
	meta *metav1.ObjectMeta
	// first and replicas: its pods are name-first and so on.
	first, replicas int
	// asked is the strategy as the manifest says it, strategy as it is now.
	asked, strategy rollout.Strategy
	// slots are its pods as the manifest wants them, the first first, and revisions what identifies these.
	slots     []manifests.Desired
	revisions []string
	// paused: pods keep what they have. tried: the version goes back if it does not become ready in time.
	paused, tried bool
}

func (o *replicated) key() string { return ownerKey(o.kind, o.meta.Namespace, o.meta.Name) }

func ownerKey(kind, namespace, name string) string {
	return strings.ToLower(kind) + "/" + namespace + "/" + name
}

// told is what the runner was told last of a pod.
type told struct {
	manifests.Desired
	revision string
	// against is another revision, and replaces what came of a comparison with it, which costs something.
	against  string
	replaces bool
}

func tell(d manifests.Desired) *told {
	return &told{Desired: d, revision: state.ManifestRevision(d.Pod)}
}

// differs says whether to, with its revision, would have the pod, or containers of it, begin anew.
func (t *told) differs(to *v1.Pod, revision string) bool {
	if t.revision == revision {
		return false
	}
	if t.against != revision {
		t.against, t.replaces = revision, state.Replaces(t.Pod, to)
	}
	return t.replaces
}

// replicatedObjects are the objects of a snapshot that have replicas, with their pods, by kind and name. restarted tells, by their keys, of
// which the pods were asked to begin anew, and when.
func replicatedObjects(s *manifests.Snapshot, restarted map[string]time.Time) []*replicated {
	var out []*replicated
	take := func(kind string, meta *metav1.ObjectMeta, first, replicas int32, strategy func(alone string) rollout.Strategy) {
		o := &replicated{kind: kind, meta: meta, first: int(first), replicas: int(replicas)}
		for i := range o.replicas {
			d, ok := s.Pods[string(manifests.DeriveUID(meta.Namespace, o.name(i)))]
			if !ok || !manifests.OwnedBy(d.Pod, kind, meta) {
				continue // another file has a pod of this name
			}
			d = restartedSlot(d, restarted[o.key()])
			o.slots, o.revisions = append(o.slots, d), append(o.revisions, state.ManifestRevision(d.Pod))
		}
		alone := ""
		if len(o.slots) > 0 {
			alone = rollout.Alone(o.slots[0].Pod, o.replicas, func(name string) *v1.PersistentVolumeClaim { return s.Claims[meta.Namespace+"/"+name] })
		}
		o.asked = strategy(alone)
		o.asked.InPlace = len(o.slots) == 1 && o.replicas == 1 && len(manifests.AllContainers(o.slots[0].Pod)) == 1
		o.strategy = o.asked
		out = append(out, o)
	}
	for _, key := range slices.Sorted(maps.Keys(s.DaemonSets)) {
		o := s.DaemonSets[key]
		take("DaemonSet", &o.ObjectMeta, 0, 1, func(alone string) rollout.Strategy { return rollout.OfDaemonSet(o, alone) })
	}
	for _, key := range slices.Sorted(maps.Keys(s.Deployments)) {
		o := s.Deployments[key]
		take("Deployment", &o.ObjectMeta, 0, *o.Spec.Replicas, func(alone string) rollout.Strategy { return rollout.OfDeployment(o, alone) })
	}
	for _, key := range slices.Sorted(maps.Keys(s.ReplicaSets)) {
		o := s.ReplicaSets[key]
		take("ReplicaSet", &o.ObjectMeta, 0, *o.Spec.Replicas, func(string) rollout.Strategy { return rollout.OfReplicaSet(o) })
	}
	for _, key := range slices.Sorted(maps.Keys(s.StatefulSets)) {
		o := s.StatefulSets[key]
		first := int32(0)
		if o.Spec.Ordinals != nil {
			first = o.Spec.Ordinals.Start
		}
		take("StatefulSet", &o.ObjectMeta, first, *o.Spec.Replicas, func(string) rollout.Strategy { return rollout.OfStatefulSet(o) })
	}
	return out
}

func (o *replicated) name(i int) string { return o.meta.Name + "-" + strconv.Itoa(o.first+i) }

// surgePod is a pod beside the slots'.
func (o *replicated) surgePod(name string) manifests.Desired {
	d := o.slots[0]
	d.Pod = d.Pod.DeepCopy()
	d.Pod.Name, d.Pod.UID = name, manifests.DeriveUID(o.meta.Namespace, name)
	d.Pod.Annotations[manifests.SurgeAnnotation] = "true"
	return d
}

// rolling is one look at an object: what its pods were told, and what stands of them.
type rolling struct {
	*replicated
	c         *Controller
	standings map[types.UID]state.Standing
	now       time.Time
	slots     []*told // nil where there is none
	surge     []*told
	// unclear: the runner has not taken yet what it was told, or does not know yet what runs.
	unclear bool
	// wake is when the next pod has been ready for long enough.
	wake time.Time
}

// lookAt finds the object's pods. What an edit changes of them without a container beginning anew they are told at once.
func (c *Controller) lookAt(o *replicated, standings map[types.UID]state.Standing, now time.Time) *rolling {
	r := &rolling{replicated: o, c: c, standings: standings, now: now, slots: make([]*told, len(o.slots))}
	for i, d := range o.slots {
		t := c.told[d.Pod.UID]
		switch {
		case t == nil:
		case !t.differs(d.Pod, o.revisions[i]):
			t = &told{Desired: d, revision: o.revisions[i]}
		case t.File != d.File:
			t = &told{Desired: manifests.Desired{Pod: t.Pod, File: d.File}, revision: t.revision}
		}
		r.slots[i] = t
	}
	for _, uid := range slices.Sorted(maps.Keys(c.told)) {
		t := c.told[uid]
		if _, other := c.snapshot.Pods[string(uid)]; !other && t.Pod.Annotations[manifests.SurgeAnnotation] != "" && manifests.OwnedBy(t.Pod, o.kind, o.meta) {
			if len(o.slots) > 0 && t.File != o.slots[0].File {
				t = &told{Desired: manifests.Desired{Pod: t.Pod, File: o.slots[0].File}, revision: t.revision}
			}
			r.surge = append(r.surge, t)
		}
	}
	slices.SortFunc(r.surge, func(a, b *told) int { return o.number(a) - o.number(b) })
	for _, t := range slices.Concat(r.slots, r.surge) {
		if t != nil {
			s, ok := standings[t.Pod.UID]
			r.unclear = r.unclear || ok && (s.Unclear || s.Manifest != t.revision && s.Waits != t.revision)
		}
	}
	return r
}

// number is the one at the end of a pod's name.
func (o *replicated) number(t *told) int {
	n, err := strconv.Atoi(strings.TrimPrefix(t.Pod.Name, o.meta.Name+"-"))
	if err != nil {
		return 0
	}
	return n
}

// member is a pod as the rules see it; to is what it should be.
func (r *rolling) member(t *told, to *v1.Pod, revision string) rollout.Member {
	if t == nil {
		return rollout.Member{}
	}
	m := rollout.Member{Version: rollout.New}
	if t.differs(to, revision) {
		m.Version = rollout.Old
	}
	if since, ready := r.ready(t); ready {
		until := since.Add(r.strategy.MinReady)
		if m.Available = r.strategy.MinReady == 0 || !until.After(r.now); !m.Available && (r.wake.IsZero() || until.Before(r.wake)) {
			r.wake = until
		}
	}
	return m
}

// ready says whether a pod runs as it was told and is ready, and since when.
func (r *rolling) ready(t *told) (since time.Time, ready bool) {
	s, ok := r.standings[t.Pod.UID]
	if !ok || !s.Current || s.Manifest != t.revision || s.Pod.DeletionTimestamp != nil {
		return time.Time{}, false
	}
	return readySince(s.Pod)
}

// waits says whether a pod goes on with what it was until it can get what it was told. The rules count it as one that is replaced.
func (r *rolling) waits(t *told) bool {
	s, ok := r.standings[t.Pod.UID]
	return ok && s.Waits == t.revision && s.Manifest != t.revision && s.Pod.DeletionTimestamp == nil
}

func readySince(pod *v1.Pod) (since time.Time, ready bool) {
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodReady {
			return c.LastTransitionTime.Time, c.Status == v1.ConditionTrue
		}
	}
	return time.Time{}, false
}

// members are the pods as the rules see them.
func (r *rolling) members() (slots, surge []rollout.Member) {
	for i, t := range r.slots {
		slots = append(slots, r.member(t, r.replicated.slots[i].Pod, r.revisions[i]))
	}
	for _, t := range r.surge {
		to := t.Desired
		if len(r.replicated.slots) > 0 {
			to = r.surgePod(t.Pod.Name)
		}
		surge = append(surge, r.member(t, to.Pod, state.ManifestRevision(to.Pod)))
	}
	return slots, surge
}

// lingers says whether something is there of pods that the runner was not told to run any more.
func (r *rolling) lingers() bool {
	for uid, s := range r.standings {
		if manifests.OwnedBy(s.Pod, r.kind, r.meta) && !r.has(uid) {
			return true
		}
	}
	return false
}

func (r *rolling) has(uid types.UID) bool {
	return slices.ContainsFunc(slices.Concat(r.slots, r.surge), func(t *told) bool { return t != nil && t.Pod.UID == uid })
}

// roll decides about an object, and adds its pods as they should be now to desired.
func (c *Controller) roll(o *replicated, standings map[types.UID]state.Standing, now time.Time, desired map[types.UID]*told, taken func(name string) bool) {
	r := c.lookAt(o, standings, now)
	slots, surge := r.members()
	d := rollout.Next(o.strategy, slots, surge, r.lingers())
	if r.unclear || r.paused {
		done := d.Done && !r.unclear // of what is done nothing is held
		d = held(d, slots)
		d.Done = done
	}
	for i, step := range d.Slots {
		switch step {
		case rollout.Stay:
		case rollout.Renew:
			r.slots[i] = &told{Desired: o.slots[i], revision: o.revisions[i]}
		case rollout.End:
			r.slots[i] = nil
		}
	}
	for i, step := range d.Surge {
		switch step {
		case rollout.Stay:
		case rollout.Renew:
			r.surge[i] = tell(o.surgePod(r.surge[i].Pod.Name))
		case rollout.End:
			r.surge[i] = nil
		}
	}
	for n := o.replicas; d.More > 0; n++ {
		if name := o.name(n); !r.has(manifests.DeriveUID(o.meta.Namespace, name)) && !taken(o.meta.Namespace+"/"+name) {
			r.surge = append(r.surge, tell(o.surgePod(name)))
			d.More--
		}
	}
	for _, t := range slices.Concat(r.slots, r.surge) {
		if t != nil {
			desired[t.Pod.UID] = t
		}
	}
	c.wakeAt(r.wake)
	c.follow(r, d, slots, surge)
}

// held is a decision without what may cost an available pod.
func held(d rollout.Decision, slots []rollout.Member) rollout.Decision {
	out := rollout.Decision{Slots: make([]rollout.Step, len(d.Slots)), Surge: make([]rollout.Step, len(d.Surge))}
	for i, step := range d.Slots {
		if step == rollout.Renew && slots[i].Version == rollout.None {
			out.Slots[i] = step
		}
	}
	return out
}

// Replicas is what is shown of the pods of a Deployment, StatefulSet, DaemonSet or ReplicaSet.
type Replicas struct {
	// Desired is how many there should be; Ready, Updated and Available are how many of those that exist, with surge pods, are ready, have
	// the manifest's version, and are available.
	Desired   int `json:"desired"`
	Ready     int `json:"ready"`
	Updated   int `json:"updated"`
	Available int `json:"available"`
	// Current is how many pods exist and are not told to go.
	Current int `json:"current"`
	// Surge is how many pods there are beside them while they are replaced.
	Surge int `json:"surge,omitempty"`
	// Complete: all that shall have the manifest's version have it and are available, and no surge pod is left. Late: nothing has gone
	// ahead for progressDeadlineSeconds.
	Complete bool `json:"complete,omitempty"`
	Late     bool `json:"late,omitempty"`
	// Partition is how many pods of a StatefulSet keep what they have.
	Partition int `json:"partition,omitempty"`
}

// counted is what there was of an object's pods before a decision.
func (r *rolling) counted(slots, surge []rollout.Member) Replicas {
	out := Replicas{Desired: r.replicas, Surge: len(surge), Partition: min(r.strategy.Partition, r.replicas)}
	members := slices.Concat(slots, surge)
	for i, t := range slices.Concat(r.slots, r.surge) {
		if t == nil || i >= len(members) { // it begins with this decision
			continue
		}
		m := members[i]
		s, ok := r.standings[t.Pod.UID]
		if ok && s.Pod.DeletionTimestamp == nil {
			out.Current++
		}
		_, ready := r.ready(t)
		if r.waits(t) { // it serves as before
			var since time.Time
			since, ready = readySince(s.Pod)
			m = rollout.Member{Version: rollout.Old, Available: ready && !since.Add(r.strategy.MinReady).After(r.now)}
		}
		if ready {
			out.Ready++
		}
		if m.Available {
			out.Available++
		}
		if m.Version == rollout.New {
			out.Updated++
		}
	}
	return out
}

// names joins what a message names.
func names(list []string) string {
	const most = 3
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
