package forward

import (
	"container/list"
	"time"

	"github.com/miekg/dns"

	"github.com/solopod/solopod/runner/names/message"
)

// Bounds of how long answers are kept, whatever they say themselves.
const (
	maxTTL      = 30 * 60 // seconds
	maxNegative = 5 * 60
	failureTTL  = 1 // RFC 9520: a failure is not asked for again at once
)

// cache keeps answers, bounded by their size; those that were not asked for longest go first.
type cache struct {
	limit, size int
	kept        map[Question]*list.Element
	order       *list.List // of *entry, the last asked for first
}

type entry struct {
	q     Question
	k     *message.Kept
	since time.Time
	until time.Time
	size  int
}

// overhead is about what an entry takes besides its names and records.
const overhead = 320

func newCache(limit int) *cache {
	return &cache{limit: limit, kept: map[Question]*list.Element{}, order: list.New()}
}

// get finds an answer that holds, and says for how many seconds it was kept.
func (c *cache) get(q Question, now time.Time) (k *message.Kept, age uint32, ok bool) {
	q.Stream = false // what is kept is whole
	at, ok := c.kept[q]
	if !ok {
		return nil, 0, false
	}
	e := at.Value.(*entry)
	if !now.Before(e.until) || now.Before(e.since) {
		c.remove(at)
		return nil, 0, false
	}
	c.order.MoveToFront(at)
	return e.k, uint32(now.Sub(e.since) / time.Second), true
}

// put keeps an answer, if it may be kept.
func (c *cache) put(q Question, k *message.Kept, now time.Time) {
	q.Stream = false
	ttl := min(k.TTL, maxTTL)
	switch {
	case k.Truncated:
		return
	case k.Code == dns.RcodeSuccess && k.HasRecords:
	case k.Code == dns.RcodeSuccess || k.Code == dns.RcodeNameError:
		ttl = min(ttl, maxNegative)
	default:
		ttl = failureTTL
	}
	e := &entry{q: q, k: k, since: now, until: now.Add(time.Duration(ttl) * time.Second), size: overhead + len(q.Name) + k.Size()}
	if ttl == 0 || e.size > c.limit/8 {
		return
	}
	if at, ok := c.kept[q]; ok {
		c.remove(at)
	}
	c.kept[q] = c.order.PushFront(e)
	for c.size += e.size; c.size > c.limit; {
		c.remove(c.order.Back())
	}
	for range 2 { // what no longer holds goes in time, also if there is room
		if at := c.order.Back(); at != nil && !now.Before(at.Value.(*entry).until) {
			c.remove(at)
		}
	}
}

func (c *cache) remove(at *list.Element) {
	e := c.order.Remove(at).(*entry)
	delete(c.kept, e.q)
	c.size -= e.size
}

// clear forgets all.
func (c *cache) clear() { *c = *newCache(c.limit) }
