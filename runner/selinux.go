package runner

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/opencontainers/selinux/go-selinux"
	"github.com/opencontainers/selinux/go-selinux/label"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/spec"
)

// seLinuxLabels are the labels of the container's process and of its files; both are empty where its manifest asks for none, it
// is privileged, or the machine does not use SELinux. What the manifest leaves open is the machine's default for containers, and
// a level that no other pod has.
func (w *worker) seLinuxLabels(c *v1.Container) (process, files string, err error) {
	o := spec.SELinuxOptions(w.rec.Pod, c)
	if o == nil || !selinux.GetEnabled() {
		return "", "", nil
	}
	if o.Level == "" {
		if err := w.claimLevel(); err != nil {
			return "", "", err
		}
	}
	var options []string
	for key, value := range map[string]string{"user": o.User, "role": o.Role, "type": o.Type} {
		if value != "" {
			options = append(options, key+":"+value)
		}
	}
	level := o.Level
	if level == "" {
		level = w.rec.SELinuxLevel
	}
	process, files, err = label.InitLabels(append(options, "level:"+level))
	if err == nil && process == "" {
		err = errNoContainerLabels
	}
	if err == nil {
		err = selinux.SecurityCheckContext(process)
	}
	if err != nil {
		return "", "", fmt.Errorf("cannot use seLinuxOptions, %q is no label of this machine: %w", process, err)
	}
	return process, files, nil
}

var errNoContainerLabels = errors.New("its SELinux policy has none for containers (lxc_contexts); install the policy of containers")

// claimLevel gives the pod a level that no other has, unless it has one.
func (w *worker) claimLevel() error {
	if w.rec.SELinuxLevel != "" {
		return nil
	}
	process, _, err := label.InitLabels(nil)
	if err != nil {
		return err
	}
	if process == "" {
		return errNoContainerLabels
	}
	context, err := selinux.NewContext(process)
	if err != nil {
		return err
	}
	w.rec.SELinuxLevel = context["level"]
	return nil
}

// keepLevel makes a level known that the pod has from an earlier run.
func (w *worker) keepLevel() {
	if w.rec.SELinuxLevel == "" {
		return
	}
	if err := selinux.ReserveLabelV2(levelOnly(w.rec.SELinuxLevel)); err != nil {
		slog.Warn("another pod may have this pod's SELinux level", "pod", manifests.Key(w.rec.Pod), "level", w.rec.SELinuxLevel, "err", err)
	}
}

func (w *worker) releaseLevel() {
	if w.rec.SELinuxLevel != "" {
		selinux.ReleaseLabel(levelOnly(w.rec.SELinuxLevel))
		w.rec.SELinuxLevel = ""
	}
}

// levelOnly is a label for functions that look at its level alone.
func levelOnly(level string) string { return "u:r:t:" + level }

// labelFiles gives the pod's volumes that the container mounts, and files, the label that lets the container use them. As with
// the kubelet, what belongs to the host keeps its own label.
func (w *worker) labelFiles(c *v1.Container, files map[string]string, wanted string) error {
	if wanted == "" {
		return nil
	}
	paths := w.runner.volumes.Find(w.rec.Pod)
	for _, v := range w.rec.Pod.Spec.Volumes {
		if v.HostPath != nil || v.Image != nil || !mounts(c, v.Name) {
			continue
		}
		// The top is labelled last, so that it tells whether everything is.
		if now, err := selinux.FileLabel(paths[v.Name]); err == nil && now == wanted {
			continue
		}
		if err := label.Relabel(paths[v.Name], wanted, false); err != nil {
			return fmt.Errorf("volume %q: cannot label it for SELinux: %w", v.Name, err)
		}
	}
	all := slices.Collect(maps.Values(files))
	if !w.rec.Pod.Spec.HostIPC {
		all = append(all, w.shm())
	}
	for _, path := range all {
		if err := selinux.SetFileLabel(path, wanted); err != nil {
			return err
		}
	}
	return nil
}

func mounts(c *v1.Container, volume string) bool {
	return slices.ContainsFunc(c.VolumeMounts, func(m v1.VolumeMount) bool { return m.Name == volume })
}

// warnWithoutSELinux says that a container's labels have no effect here.
func (w *worker) warnWithoutSELinux(c *v1.Container) {
	if spec.SELinuxOptions(w.rec.Pod, c) != nil && !selinux.GetEnabled() {
		w.warn(c.Name, "NoSELinux", "this machine does not use SELinux; the container runs without the labels of seLinuxOptions")
	}
}
