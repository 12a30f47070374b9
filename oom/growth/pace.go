package growth

import "time"

// When to look again.
const (
	// far is the pace of a container that uses nothing; one that uses the half of its limit has the half of that.
	far = time.Minute
	// full is the pace at the limit of what does not grow; nearest the shortest of all.
	full, nearest = 10 * time.Second, time.Second
	// early is the shortest of a container that has just begun, and lasts for as long as it is young.
	early = 2 * time.Second
	// points is how many samples there shall be on the way to the limit, if memory grows on as it did last.
	points = 8
)

// Wait is how long after the last sample the next one is worth its cost: of a container that is left free bytes below its limit, and has
// begun so long ago. What rests far from its limit is looked at once in half a minute to a minute.
func (r *Ring) Wait(free, limit int64, age time.Duration) time.Duration {
	if limit <= 0 {
		return far
	}
	free = min(max(free, 0), limit)
	wait := max(time.Duration(float64(far)*(float64(free)/float64(limit))), full)
	if rate := r.rate(); rate > 0 {
		seconds := min(free/rate/points, int64(far/time.Second))
		wait = min(wait, max(time.Duration(seconds)*time.Second, nearest))
	}
	return min(wait, max(age/2, early))
}
