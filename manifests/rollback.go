package manifests

import (
	"fmt"
	"time"
)

// RollbackAnnotation on a pod, Deployment, StatefulSet or DaemonSet says how long a new version of it may take to become ready before the
// last one that was comes back, as 5m; 0 means for ever. Of a Deployment the time is its progressDeadlineSeconds.
const RollbackAnnotation = "solopod.io/rollback-after"

// HeldAnnotation on an object, as it is shown, says why what runs of it is not what its manifest says, as RolledBack: and a sentence.
// Solopod alone gives it.
const HeldAnnotation = "solopod.io/held"

// ParseRollback reads the value of RollbackAnnotation.
func ParseRollback(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration; write it as 5m, or 0 for never", text)
	}
	return d, CheckRollback(d)
}

// CheckRollback says what is wrong with such a time. In less than some seconds nothing is known to be ready to stay.
func CheckRollback(d time.Duration) error {
	const least = 10 * time.Second
	if d != 0 && d < least {
		return fmt.Errorf("%s is too short; it is at least %s, or 0 for never", d, least)
	}
	return nil
}
