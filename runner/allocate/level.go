package allocate

import (
	"errors"
	"fmt"

	"github.com/opencontainers/selinux/go-selinux"
	"github.com/opencontainers/selinux/go-selinux/label"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/spec"
)

// ErrNoContainerLabels says that SELinux is in use, and its policy is not one for containers.
var ErrNoContainerLabels = errors.New("its SELinux policy has none for containers (lxc_contexts); install the policy of containers")

// wantsLevel says whether SELinux confines one of the pod's containers and the manifest leaves its level open.
func wantsLevel(pod *v1.Pod) bool {
	if !selinux.GetEnabled() {
		return false
	}
	for _, c := range manifests.AllContainers(pod) {
		if o := spec.SELinuxOptions(pod, c); o != nil && o.Level == "" {
			return true
		}
	}
	return false
}

// chooseLevel reserves a level that no other pod has, where the pod wants one: the one that it has, the one that it had, or a
// new one.
func chooseLevel(pod *v1.Pod, had, has string) (string, error) {
	switch {
	case !wantsLevel(pod):
		return "", nil
	case has != "":
		return has, nil
	case had != "" && keepLevel(had, "") == nil:
		return had, nil
	}
	process, _, err := label.InitLabels(nil)
	if err != nil {
		return "", err
	}
	if process == "" {
		return "", ErrNoContainerLabels
	}
	context, err := selinux.NewContext(process)
	if err != nil {
		return "", err
	}
	return context["level"], nil
}

// keepLevel reserves a level that a pod had in an earlier run. has is the one that is reserved for it already.
func keepLevel(level, has string) error {
	if level == "" || level == has {
		return nil
	}
	if err := selinux.ReserveLabelV2(levelOnly(level)); err != nil {
		return fmt.Errorf("another pod may have the SELinux level %s: %w", level, err)
	}
	return nil
}

func releaseLevel(level string) {
	if level != "" {
		selinux.ReleaseLabel(levelOnly(level))
	}
}

// levelOnly is a label for functions that look at its level alone.
func levelOnly(level string) string { return "u:r:t:" + level }
