package runner

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/eviction"
	"github.com/solopod/solopod/runner/eviction/threshold"
	"github.com/solopod/solopod/runner/internal/testbox"
	"github.com/solopod/solopod/runner/pod/state"
)

// candidate is a pod as evictions see it.
func (b *box) candidate(name string) (found eviction.Pod) {
	for _, p := range b.r.Evictions.List() {
		if p.Name == "default/"+name {
			found = p
		}
	}
	return found
}

// A pod that is evicted ends, gives back what it has on the disk, and stays so, over a restart of Solopod too, until it is readmitted.
func TestEvictAndReadmit(t *testing.T) {
	b := newBox(t)
	b.start()
	web := testbox.Pod(t, "web", `priority: 7
volumes: [{name: data, emptyDir: {}}]
containers: [{name: c, image: app, resources: {requests: {memory: 10Mi}}, volumeMounts: [{name: data, mountPath: /data}]}]`)
	b.r.Apply(snapshot(web))
	b.runs("web")
	before := b.candidate("web")
	if before.UID != string(web.UID) || before.Name != "default/web" || before.Priority != 7 || before.Request.Memory().String() != "10Mi" ||
		before.Ended || before.Ending || before.Held || before.Grace != 30*time.Second {
		t.Errorf("it is %+v", before)
	}
	volume := filepath.Join(b.r.dirs.Records(), before.UID, "volumes")
	if _, err := os.Stat(volume); err != nil {
		t.Fatal(err)
	}
	why := eviction.Order{UID: before.UID, Signal: threshold.Memory, Message: "The node was low on resource: memory.", Grace: time.Second}
	if err := b.r.Evictions.Evict(t.Context(), why); err != nil {
		t.Fatal(err)
	}
	if p := b.candidate("web"); !p.Ended && !p.Ending || !p.Held || p.HeldFor != why.Signal || p.HeldSince.IsZero() || p.Evictions != 1 {
		t.Errorf("it is %+v", p)
	}
	ended := func() bool { return !b.candidate("web").Ending }
	testbox.Eventually(t, "web has ended", ended)
	b.event("Evicted", why.Message)
	if p := b.find("web"); p.Status.Phase != v1.PodFailed || p.Status.Reason != "Evicted" || p.Status.Message != why.Message {
		t.Errorf("its status is %+v", p.Status)
	}
	if _, err := os.Stat(volume); !os.IsNotExist(err) {
		t.Errorf("its volumes are left (%v)", err)
	}

	b.stop()
	b.start()
	b.r.Apply(snapshot(web))
	<-b.r.Reconciled()
	if p := b.candidate("web"); !p.Held || p.Evictions != 1 || b.find("web").Status.Phase != v1.PodFailed {
		t.Errorf("after a restart of Solopod it is %+v", p)
	}
	if err := b.r.Evictions.Readmit(t.Context(), before.UID); err != nil {
		t.Fatal(err)
	}
	b.runs("web")
	b.event("Readmitted", string(why.Signal))
	if p := b.candidate("web"); p.Held || p.Ended || p.Ending || p.Evictions != 1 {
		t.Errorf("readmitted it is %+v", p)
	}
	b.clear()
	if err := b.r.Evictions.Readmit(t.Context(), before.UID); err == nil {
		t.Error("a pod that is gone was readmitted")
	}
}

// A pod that ends for whatever reason shows as that as long as something of it runs, and an eviction leaves it no more time than it gives.
func TestEvictWhatEnds(t *testing.T) {
	b := newBox(t)
	b.engine.Deaf = true
	b.start()
	begun := time.Now()
	removed, evicted := testbox.Pod(t, "removed", `containers: [{name: c, image: app}]
terminationGracePeriodSeconds: 600`), testbox.Pod(t, "evicted", `containers: [{name: c, image: app}]
terminationGracePeriodSeconds: 600`)
	b.r.Apply(snapshot(removed, evicted))
	b.runs("removed")
	b.runs("evicted")
	uids := map[string]string{"removed": string(removed.UID), "evicted": string(evicted.UID)}
	why := eviction.Order{UID: string(evicted.UID), Signal: threshold.Memory, Message: "The node was low on resource: memory.", Grace: 10 * time.Minute}
	b.r.Apply(snapshot(evicted))
	if err := b.r.Evictions.Evict(t.Context(), why); err != nil {
		t.Fatal(err)
	}
	for name, uid := range uids {
		testbox.Eventually(t, name+" ends", func() bool { p := b.candidate(name); return p.Ending && !p.Ended })
		hurried := why
		hurried.UID, hurried.Grace = uid, time.Second
		if err := b.r.Evictions.Evict(t.Context(), hurried); err != nil {
			t.Fatal(err)
		}
	}
	for name := range uids {
		testbox.Eventually(t, name+" has ended", func() bool { p := b.candidate(name); return p.UID == "" || !p.Ending && p.Ended })
	}
	if took := time.Since(begun); took > 5*time.Minute {
		t.Errorf("it took %s", took)
	}
	if p := b.candidate("evicted"); !p.Held || p.Evictions != 1 {
		t.Errorf("it is %+v", p)
	}
	b.clear()
}

// A pod ends for many reasons, and of some its data goes, too.
func TestEnds(t *testing.T) {
	const neither, over, going = 0, 1, 2
	runs := map[string]*state.Container{"c": {Running: true}}
	for name, c := range map[string]struct {
		change func(s *state.State)
		want   int
	}{
		"runs":                   {func(*state.State) {}, neither},
		"is not decided on":      {func(s *state.State) { s.Decided = false }, neither},
		"removed":                {func(s *state.State) { s.DeletedAt = time.Now() }, going},
		"removed, and its data":  {func(s *state.State) { s.DeletedAt, s.Containers = time.Now(), nil }, going},
		"removed, and all of it": {func(s *state.State) { s.DeletedAt, s.Containers, s.SharedRevision = time.Now(), nil, "" }, over},
		"over a limit":           {func(s *state.State) { s.Failed = &state.Failure{Reason: "Evicted"} }, going},
		"over a limit, ended":    {func(s *state.State) { s.Failed, s.Containers = &state.Failure{Reason: "Evicted"}, nil }, over},
		"evicted":                {func(s *state.State) { s.Failed = &state.Failure{Signal: "memory.available"} }, going},
		"evicted, and its data": {func(s *state.State) {
			s.Failed, s.Containers = &state.Failure{Signal: "memory.available"}, nil
		}, going},
		"edited while it ends": {func(s *state.State) { s.Failed = &state.Failure{Signal: "memory.available", Revive: time.Now()} }, going},
		"edited, and its data": {func(s *state.State) {
			s.Failed, s.Containers = &state.Failure{Signal: "memory.available", Revive: time.Now()}, nil
		}, going},
		"edited, and all of it": {func(s *state.State) {
			s.Failed, s.Containers, s.SharedRevision = &state.Failure{Signal: "memory.available", Revive: time.Now()}, nil, ""
		}, over},
		"over a limit, and edited": {func(s *state.State) {
			s.Failed, s.Containers = &state.Failure{Reason: "Evicted", Revive: time.Now()}, nil
		}, going},
		"over a limit, and waits": {func(s *state.State) {
			s.Failed, s.Containers = &state.Failure{Reason: "Evicted", Revive: time.Now().Add(time.Hour)}, nil
		}, over},
		"the machine goes down": {func(s *state.State) { s.StopBy = time.Now().Add(time.Minute) }, going},
		"nobody's":              {func(s *state.State) { s.Orphan, s.Decided = true, false }, going},
	} {
		s := state.New(state.Host{}, 0, testbox.Pod(t, "web", `containers: [{name: c, image: app}]`), true)
		s.Decided, s.SharedRevision, s.SetUp, s.Containers = true, "s", true, runs
		c.change(&s)
		if got, data := ends(&s), ends(&s) && givesBack(&s); got != (c.want >= over) || data != (c.want == going) {
			t.Errorf("%s: it ends %t, and gives back something %t", name, got, data)
		}
	}
}
