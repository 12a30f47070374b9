package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/runner/device"
	"github.com/solopod/solopod/runner/engine"
	"github.com/solopod/solopod/runner/image"
	"github.com/solopod/solopod/runner/plan"
	"github.com/solopod/solopod/runner/reference"
)

// objectsByNamespace sorts the ConfigMaps and Secrets of a snapshot.
func objectsByNamespace(s manifests.Snapshot) map[string]reference.Objects {
	out := map[string]reference.Objects{}
	of := func(namespace string) reference.Objects {
		o, ok := out[namespace]
		if !ok {
			o = reference.Objects{ConfigMaps: map[string]*v1.ConfigMap{}, Secrets: map[string]*v1.Secret{}}
			out[namespace] = o
		}
		return o
	}
	for _, c := range s.ConfigMaps {
		of(c.Namespace).ConfigMaps[c.Name] = c
	}
	for _, c := range s.Secrets {
		of(c.Namespace).Secrets[c.Name] = c
	}
	return out
}

// inputs are what the pod's references are resolved against.
func (w *worker) inputs() *reference.Inputs {
	pod := *w.rec.Pod
	pod.Spec.NodeName = w.runner.config.Node
	pod.Status = v1.PodStatus{}
	w.addresses(&pod.Status)
	return &reference.Inputs{Pod: &pod, Objects: w.objects, Node: w.runner.node, ReadFile: w.readVolume}
}

// maxEnvFile bounds what is read of a file that fills an environment, as by the kubelet.
const maxEnvFile = 64 << 10

// readVolume reads a file of one of the pod's volumes; no link leads out of it.
func (w *worker) readVolume(volume, path string) ([]byte, error) {
	root, err := os.OpenRoot(w.runner.volumes.Find(w.rec.Pod)[volume])
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // only read from
	f, err := root.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read from
	data, err := io.ReadAll(io.LimitReader(f, maxEnvFile+1))
	if err == nil && len(data) > maxEnvFile {
		err = fmt.Errorf("it has more than %d bytes", maxEnvFile)
	}
	return data, err
}

// wantedContent identifies what the pod's filled volumes should show. While something that they need is missing they keep
// what they have.
func (w *worker) wantedContent() string {
	var all []any
	in := w.inputs()
	for i := range w.rec.Pod.Spec.Volumes {
		v := &w.rec.Pod.Spec.Volumes[i]
		if !reference.Fills(v) {
			continue
		}
		files, err := in.Files(v)
		if err != nil {
			return w.rec.Content
		}
		all = append(all, v.Name, files)
	}
	if len(all) == 0 {
		return ""
	}
	return hash(all)
}

// refreshVolumes shows new content in place. What cannot be shown stays as it was until the next change.
func (w *worker) refreshVolumes() {
	if err := w.runner.volumes.Refresh(w.rec.Pod, w.inputs().Files); err != nil {
		w.warn("", "FailedMount", "volumes keep their old content: %v", err)
	}
	w.rec.Content = w.content
}

// revisionOf identifies a container's own part of the manifest and, where the pod asks to be restarted when they change, the
// objects that it uses. While one of these is missing the revision stays what it was.
func (w *worker) revisionOf(c *v1.Container) string {
	revision := containerRevision(c)
	choice := w.rec.Pod.Annotations[manifests.RestartOnChangeAnnotation]
	if choice == "" {
		return revision
	}
	var used []any
	for _, u := range reference.Uses(w.rec.Pod) {
		if u.Environment && u.Container != c.Name || !u.Environment && choice != manifests.RestartOnAnyChange {
			continue
		}
		var data any
		if s := w.objects.Secrets[u.Name]; u.Secret && s != nil {
			data = s.Data
		} else if m := w.objects.ConfigMaps[u.Name]; !u.Secret && m != nil {
			data = []any{m.Data, m.BinaryData}
		} else if rec := w.rec.Containers[c.Name]; !u.Optional && rec != nil && strings.HasPrefix(rec.Revision, revision+".") {
			return rec.Revision
		}
		used = append(used, u, data)
	}
	return revision + "." + hash(used)
}

// prepared says whether everything is there that the set-up needs: ConfigMaps and Secrets of volumes, and their images. What
// is not is waited for.
func (w *worker) prepared(ctx context.Context) error {
	if err := reference.Absent(w.rec.Pod, w.objects); err != nil {
		return err
	}
	if class := runtimeClass(w.rec.Pod); class != "" && w.runner.config.RuntimeClasses[class] == "" {
		return fmt.Errorf("runtimeClassName %q is not configured; name its OCI runtime in runtimeClasses of the configuration", class)
	}
	for i := range w.rec.Pod.Spec.Volumes {
		v := &w.rec.Pod.Spec.Volumes[i]
		if v.Image == nil {
			continue
		}
		if _, err := w.runner.images.Get(ctx, v.Image.Reference); err == nil {
			continue
		} else if !errors.Is(err, engine.ErrNotFound) {
			return fmt.Errorf("volume %q: %w", v.Name, err)
		}
		switch {
		case !w.runner.scanned.Load():
			return errScan
		case v.Image.PullPolicy == v1.PullNever:
			return fmt.Errorf("volume %q: image %s is not present and pullPolicy is Never; import it: solopod images import FILE", v.Name, v.Image.Reference)
		case w.volumeImageError != nil:
			err := w.volumeImageError
			w.volumeImageError = nil
			return fmt.Errorf("volume %q: %w", v.Name, err)
		default:
			w.pullForVolume(ctx, v.Image.Reference)
			return errPulling
		}
	}
	devices, err := w.runner.devices.Claim(w.rec.Pod, w.rec.Devices)
	if err != nil {
		return err
	}
	w.rec.Devices = devices
	return w.runner.ports.claim(w.rec.Pod)
}

// Not failures: what is waited for says when it is there.
var (
	errScan    = errors.New("image archives are being imported")
	errPulling = errors.New("an image of a volume is being pulled")
)

func (w *worker) pullForVolume(ctx context.Context, ref string) {
	if w.pullingVolume {
		return
	}
	w.pullingVolume = true
	w.normal("", "Pulling", "Pulling image %q", ref)
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	credentials := w.credentials()
	w.background.Go(func() {
		defer cancel()
		_, err := w.runner.images.Pull(ctx, ref, credentials)
		w.send(volumePulled{err})
	})
}

// volumePulled: a pull for an image volume ended.
type volumePulled struct{ err error }

func (m volumePulled) take(_ context.Context, w *worker) {
	w.pullingVolume, w.setUpRetry = false, time.Time{}
	w.volumeImageError = m.err
}

// usesImage: an image volume of the pod shows one of these images.
func (w *worker) usesImage(names []string) bool {
	for _, v := range w.rec.Pod.Spec.Volumes {
		if v.Image == nil {
			continue
		}
		if full, err := image.Normalize(v.Image.Reference); err == nil {
			if slices.Contains(names, full) {
				return true
			}
		}
	}
	return false
}

// mayShowImages: the pod has image volumes, or nothing is known of it.
func (w *worker) mayShowImages() bool {
	spec := &w.rec.Pod.Spec
	return len(spec.Containers) == 0 || slices.ContainsFunc(spec.Volumes, func(v v1.Volume) bool { return v.Image != nil })
}

// mountImage mounts a volume's image.
func (w *worker) mountImage(ctx context.Context) func(v *v1.ImageVolumeSource, target string) error {
	return func(v *v1.ImageVolumeSource, target string) error {
		img, err := w.runner.images.Get(ctx, v.Reference)
		if err != nil {
			return err
		}
		return w.runner.engine.MountImage(ctx, img, w.uid, target[strings.LastIndexByte(target, '/')+1:], target, w.idMapping())
	}
}

// notPrepared waits for what the set-up needs.
func (w *worker) notPrepared(err error) {
	w.message, w.waitsFor = err.Error(), err
	if errors.Is(err, errScan) || errors.Is(err, errPulling) {
		w.setUpRetry = time.Now().Add(2 * pullTimeout) // a message ends it
		return
	}
	w.setUpFailures++
	w.setUpRetry = time.Now().Add(plan.Retry(w.setUpFailures))
	reason := "FailedMount"
	switch {
	case errors.Is(err, errPortTaken):
		reason = "HostPortConflict"
	case errors.Is(err, device.ErrTaken):
		reason = "UnexpectedAdmissionError" // the kubelet's, when devices are short
	}
	w.warn("", reason, "%v", err)
}
