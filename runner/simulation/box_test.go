package simulation

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/pod/state"
)

// box is the world outside of the daemon. Its fields are under mu, which is never held while the owner is called.
type box struct {
	seed    uint64
	options Options
	began   time.Time
	temper  temper

	mu         sync.Mutex
	ips        []string // the machine's addresses
	resolver   string   // its resolver configuration
	boot       int
	booted     time.Time
	containers map[string]*container // by id
	sandboxes  map[string]*sandbox   // by the pod's UID
	images     map[string]bool       // that are present
	registry   map[string]bool       // that can be pulled
	disk       disk
	daemon     *daemon // nil while none runs
	calm       bool    // no more faults
	lives      int     // of the daemon
	open       chan struct{}
	draws      map[string]uint64
	histories  map[string]*history // by UID/name
	ends       map[string]ending   // of processes, by their containers' ids
	trace      []string
	violations []string
	lastCut    time.Time
	stale      map[string]time.Time // by UID: when the daemon was killed with more in mind than on the disk
	cleared    map[string]time.Time // by UID: when the sandbox went last
	changed    map[string]time.Time // by UID: when the manifest changed, or came back, last
	removals   map[string]int       // how often all of a pod went, by UID
	goneAt     map[string]time.Time // when it went last
	// edited is when a pod's manifest was edited last, by UID; begun is when a start of a container was told last, by UID and name.
	// evicted pods may have been edited while they were.
	evicted       map[string]bool
	edited, begun map[string]time.Time
	hurried       map[string]time.Duration // by UID: the shortest grace period of its evictions
	pids          uint32
	effects       map[string]int  // by kind
	told          map[string]int  // reports by reason
	stopped       map[string]bool // by UID: it was told to be stopped for kills for memory
}

// container is one that containerd has.
type container struct {
	id, uid, name string
	pod           string // its namespace and name
	attempt       int
	revision      string
	spec          *v1.Container
	sidecar, init bool
	boot          int
	status        state.FoundStatus
	created       time.Time
	started       time.Time
	ended         time.Time
	code          int32
	pid           uint32
	kills         uint64
	changed       chan struct{} // closed when kills grows
	signalled     bool
	endsIn        int       // the life of the daemon that began its stop with the pod's end
	stopAt        time.Time // when that was
	overAt        time.Time // when its grace period may be over then
	latestAt      time.Time // when it must have been asked to end
	asked         bool      // it was, or its signal was begun
	judgedBy      int       // the life of the daemon that said that it has to end for a probe or its hook
	condemned     bool      // it got its stop signal for that
	order         int       // among the pod's containers
	late          bool      // an effect of a dead daemon made it when the next one had looked
}

// sandbox is what is there of a pod beside its containers.
type sandbox struct {
	// mounted: what the kernel holds; it is gone after a reboot. data: what is on the disk.
	mounted, attached, data bool
	resolver                string // what its resolver configuration was made of
	pod                     string // its namespace and name
	shared                  string // revision
	// done: the init containers that have succeeded, and sidecars that have started, since the set-up.
	done map[string]bool
	// begun: the containers that have run since the set-up.
	begun map[string]bool
}

// history is what has run under one container's name.
type history struct {
	attempts map[int]string // ids of the containers that wrote the log of an attempt
	last     *container
	streak   int // crashes in a row
	refused  int // attempts after last that the runtime refused
	free     bool
	// dropped: the manifest no longer names it; a start that had begun may still land.
	dropped bool
}

func newBox(seed uint64, o Options) *box {
	b := &box{
		seed: seed, options: o, began: time.Now(), booted: time.Now(), containers: map[string]*container{}, sandboxes: map[string]*sandbox{},
		images: map[string]bool{}, registry: map[string]bool{}, open: make(chan struct{}), draws: map[string]uint64{},
		histories: map[string]*history{}, effects: map[string]int{}, told: map[string]int{}, stopped: map[string]bool{}, ends: map[string]ending{}, removals: map[string]int{}, goneAt: map[string]time.Time{}, edited: map[string]time.Time{}, evicted: map[string]bool{}, begun: map[string]time.Time{}, hurried: map[string]time.Duration{}, cleared: map[string]time.Time{}, stale: map[string]time.Time{}, changed: map[string]time.Time{},
	}
	b.disk = newDisk(b)
	b.temper = newTemper(b.draw("temper"))
	return b
}

// draw returns the random numbers for one occasion: the n-th of what the parts name.
func (b *box) draw(parts ...string) *rand.Rand {
	key := strings.Join(parts, "\x00")
	b.mu.Lock()
	n := b.draws[key]
	b.draws[key]++
	b.mu.Unlock()
	h := fnv.New64a()
	h.Write([]byte(key))
	return rand.New(rand.NewPCG(b.seed, h.Sum64()+n*0x9e3779b97f4a7c15))
}

func (b *box) note(format string, args ...any) {
	if !b.options.Trace {
		return
	}
	line := fmt.Sprintf("%12s  ", time.Since(b.began).Round(time.Microsecond)) + fmt.Sprintf(format, args...)
	b.mu.Lock()
	b.trace = append(b.trace, line)
	b.mu.Unlock()
}

// violated notes that what must always hold does not.
func (b *box) violated(format string, args ...any) {
	b.mu.Lock()
	b.violatedLocked(format, args...)
	b.mu.Unlock()
}

func (b *box) violatedLocked(format string, args ...any) {
	line := fmt.Sprintf("%s: ", time.Since(b.began).Round(time.Microsecond)) + fmt.Sprintf(format, args...)
	if len(b.violations) < 20 {
		b.violations = append(b.violations, line)
	}
	if b.options.Trace {
		b.trace = append(b.trace, "!!!!!!!!!!!! "+line)
	}
}

func (b *box) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.violations) > 0
}

func (b *box) isCalm() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calm
}

// letGo lets everything go on that hangs.
func (b *box) letGo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.open)
	b.open = make(chan struct{})
}

func (b *box) gate() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

func (b *box) sandbox(uid string) *sandbox {
	s := b.sandboxes[uid]
	if s == nil {
		s = &sandbox{done: map[string]bool{}, begun: map[string]bool{}}
		b.sandboxes[uid] = s
	}
	return s
}

func (b *box) history(uid, name string) *history {
	h := b.histories[uid+"/"+name]
	if h == nil {
		h = &history{attempts: map[int]string{}}
		b.histories[uid+"/"+name] = h
	}
	return h
}

// pause passes virtual time.
func pause(d time.Duration) {
	<-time.After(d)
}

// gone is how often all of a pod went.
func (b *box) gone(uid string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.removals[uid]
}

// wentAt is when all of a pod went last; its daemon may learn it later.
func (b *box) wentAt(uid string) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.goneAt[uid]
}
