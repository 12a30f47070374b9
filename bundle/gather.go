package bundle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
	"github.com/solopod/solopod/manifests/decode"
	"github.com/solopod/solopod/manifests/source"
	"github.com/solopod/solopod/runner/foreign"
)

// Text is a file of manifests.
type Text struct {
	File string
	Data []byte
}

// Gather reads files of manifests, and those of directories as the daemon would: files beside each other, under their own names.
func Gather(paths []string) (list []Text, err error) {
	for _, at := range paths {
		info, err := os.Stat(at)
		if err != nil {
			return nil, err
		}
		files := []string{at}
		if info.IsDir() {
			if files, err = manifestsIn(at); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			name := filepath.Base(file)
			if !fileForm.MatchString(name) {
				return nil, fmt.Errorf("%s: in a bundle a manifest's name has letters, digits, '.', '_' and '-', and ends with .yaml, .yml or .json; rename it", file)
			}
			if slices.ContainsFunc(list, func(t Text) bool { return t.File == name }) {
				return nil, fmt.Errorf("%s: two files are called %s, and in a bundle they lie side by side; rename one", file, name)
			}
			data, err := foreign.ReadFollowing(file, decode.MaxFileSize)
			if err != nil {
				return nil, err
			}
			if list = append(list, Text{name, data}); len(list) > MaxManifests {
				return nil, fmt.Errorf("a bundle has %d files of manifests at most", MaxManifests)
			}
		}
	}
	slices.SortFunc(list, func(a, b Text) int { return strings.Compare(a.File, b.File) }) // whatever order they were named in
	return list, nil
}

// manifestsIn are the manifests of a directory.
func manifestsIn(dir string) (files []string, err error) {
	files, err = source.ManifestsIn(dir)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no manifest: no *.yaml, *.yml or *.json is directly in it", dir)
	}
	return files, err
}

// Judge decodes the files of manifests, as a directory of their own, and says what is wrong with them.
func Judge(list []Text, o decode.Options) (manifests.Snapshot, manifests.Problems) {
	set := manifests.NewSet(nil)
	for _, t := range list {
		contents, problems := decode.Decode(t.File, t.Data, o)
		set.Put(t.File, contents, problems, time.Time{})
	}
	s := set.Snapshot(time.Time{})
	return s, source.ProblemsOf(s.Files)
}

// imagesOf are the images that the manifests name, in their full form, in order.
func imagesOf(s *manifests.Snapshot) (names []string, err error) {
	s.PodSpecs(func(kind, key string, spec *v1.PodSpec) {
		for _, ref := range manifests.Images(&v1.Pod{Spec: *spec}) {
			name, wrong := fullName(ref)
			if wrong != nil {
				err = errors.Join(err, fmt.Errorf("%s %s: %w", kind, key, wrong))
			}
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

// annotated finds the value of an annotation that objects of the manifests have; two values are an error.
func annotated(s *manifests.Snapshot, annotation string) (value string, err error) {
	see := func(o metav1.Object) {
		switch v, ok := o.GetAnnotations()[annotation]; {
		case !ok:
		case value != "" && v != value:
			err = fmt.Errorf("the annotation %s is %q in one place and %q in another; write the same in both", annotation, value, v)
		default:
			value = v
		}
	}
	for _, p := range s.Pods {
		if p.Pod != nil && p.Pod.Annotations[manifests.OwnerAnnotation] == "" { // those of Deployments have their templates'
			see(p.Pod)
		}
	}
	seeAll(s.ConfigMaps, see)
	seeAll(s.Secrets, see)
	seeAll(s.Services, see)
	seeAll(s.Jobs, see)
	seeAll(s.CronJobs, see)
	seeAll(s.Deployments, see)
	seeAll(s.StatefulSets, see)
	seeAll(s.DaemonSets, see)
	seeAll(s.Namespaces, see)
	return value, err
}

func seeAll[T metav1.Object](objects map[string]T, see func(metav1.Object)) {
	for _, o := range objects {
		see(o)
	}
}
