package claims

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Of each claim the newest version is written, once at a time. One whose directory does not answer holds up neither others nor, for long,
// the pods that use it.
func TestClaimWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		claim := func(name, size string) *v1.PersistentVolumeClaim {
			return &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PersistentVolumeClaimSpec{
				Resources: v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse(size)}},
			}}
		}
		answers, written := make(chan struct{}), []string{}
		w := NewWriter(func(c *v1.PersistentVolumeClaim) error {
			if c.Name == "hangs" {
				<-answers
			}
			written = append(written, c.Name+" "+c.Spec.Resources.Requests.Storage().String())
			return errors.New("told")
		}, func(f func()) { go f() })
		w.Wait(t.Context(), []string{"none"})
		w.Put(map[string]*v1.PersistentVolumeClaim{"hangs": claim("hangs", "1")})
		synctest.Wait()
		w.Put(map[string]*v1.PersistentVolumeClaim{"hangs": claim("hangs", "2"), "good": claim("good", "1")})
		w.Put(map[string]*v1.PersistentVolumeClaim{"hangs": claim("hangs", "3")})
		begin := time.Now()
		w.Wait(t.Context(), []string{"good"})
		if !slices.Equal(written, []string{"good 1"}) || time.Since(begin) != 0 {
			t.Errorf("after %s: %v", time.Since(begin), written)
		}
		w.Wait(t.Context(), []string{"good", "hangs"})
		if took := time.Since(begin); took != limit {
			t.Errorf("it was waited for %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.Wait(ctx, []string{"hangs"})
		close(answers)
		w.Wait(t.Context(), []string{"hangs"})
		if !slices.Equal(written, []string{"good 1", "hangs 1", "hangs 3"}) || len(w.busy) > 0 {
			t.Errorf("%v, and %d are left", written, len(w.busy))
		}
	})
}
