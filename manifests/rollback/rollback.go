// Package rollback reads how long a new version may take before the last good one comes back.
package rollback

import (
	"fmt"
	"time"
)

// Annotation on a pod, Deployment, StatefulSet or DaemonSet says how long a new version of it may take to become ready before the
// last one that was comes back, as 5m; 0 means for ever. Of a Deployment the time is its progressDeadlineSeconds.
const Annotation = "solopod.io/rollback-after"

// Parse reads the value of Annotation.
func Parse(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration; write it as 5m, or 0 for never", text)
	}
	return d, Check(d)
}

// Check says what is wrong with such a time. In less than some seconds nothing is known to be ready to stay.
func Check(d time.Duration) error {
	const least = 10 * time.Second
	if d != 0 && d < least {
		return fmt.Errorf("%s is too short; it is at least %s, or 0 for never", d, least)
	}
	return nil
}
