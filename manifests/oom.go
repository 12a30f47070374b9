package manifests

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// OOMActionAnnotation on a pod says what follows when a container of it is killed for memory: OOMRestartsContainer, as its restart policy
// says, OOMRestartsPod all of the pod begins anew, or OOMStopsPod the pod is Failed after as many kills as OOMStopAfterAnnotation says.
const (
	OOMActionAnnotation    = "solopod.io/oom-action"
	OOMStopAfterAnnotation = "solopod.io/oom-stop-after"
	OOMRestartsContainer   = "container"
	OOMRestartsPod         = "pod"
	OOMStopsPod            = "stop"
)

// OOMStop is after how many kills, within which time, a pod is stopped.
type OOMStop struct {
	Kills  int
	Within time.Duration
}

// defaultOOMStop holds where a pod does not say after how many kills it is stopped.
var defaultOOMStop = OOMStop{Kills: 3, Within: 10 * time.Minute}

// Bounds of what a pod may say: the times of the kills are kept in its record.
const (
	mostOOMKills    = 100
	longestOOMStop  = 30 * 24 * time.Hour
	shortestOOMStop = time.Second
)

// OOMStopOf is when a pod is stopped that chooses OOMStopsPod; ok is false for one that does not.
func OOMStopOf(pod *v1.Pod) (stop OOMStop, ok bool) {
	if pod.Annotations[OOMActionAnnotation] != OOMStopsPod {
		return OOMStop{}, false
	}
	if text := pod.Annotations[OOMStopAfterAnnotation]; text != "" {
		if stop, err := ParseOOMStop(text); err == nil {
			return stop, true
		}
	}
	return defaultOOMStop, true
}

// ParseOOMStop reads the value of OOMStopAfterAnnotation.
func ParseOOMStop(text string) (OOMStop, error) {
	kills, within, ok := strings.Cut(text, "/")
	if !ok {
		return OOMStop{}, fmt.Errorf("%q is not of the form KILLS/TIME; write for example %s", text, defaultOOMStop)
	}
	n, err := strconv.Atoi(kills)
	if err != nil || n < 1 || n > mostOOMKills {
		return OOMStop{}, fmt.Errorf("%q must be a whole number of kills between 1 and %d; write for example %s", kills, mostOOMKills, defaultOOMStop)
	}
	d, err := time.ParseDuration(within)
	if err != nil {
		return OOMStop{}, fmt.Errorf("%q is not a time with its unit (s, m, h); write for example %s", within, defaultOOMStop)
	}
	if d < shortestOOMStop || d > longestOOMStop {
		return OOMStop{}, fmt.Errorf("the time %s must lie between %s and %s", within, short(shortestOOMStop), short(longestOOMStop))
	}
	return OOMStop{Kills: n, Within: d}, nil
}

// String is the annotation's form.
func (s OOMStop) String() string { return fmt.Sprintf("%d/%s", s.Kills, short(s.Within)) }

// short writes a time without units that are zero: 10m, not 10m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
