package volume

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/runner/durable"
	"github.com/solopod/solopod/runner/foreign"
)

// Claim is a PersistentVolumeClaim as it is kept: a directory of this machine, which stays when its pods go.
type Claim struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Class     string    `json:"class,omitempty"`
	Size      string    `json:"size,omitempty"` // what was asked for; nothing bounds it
	CreatedAt time.Time `json:"createdAt"`
	// Path is where the data are.
	Path string `json:"path"`
}

// Record writes down what a claim asks for.
func (m Manager) Record(c *v1.PersistentVolumeClaim) error {
	kept, err := m.claim(c.Namespace, c.Name)
	if err != nil {
		return err
	}
	asked := kept
	if c.Spec.StorageClassName != nil {
		asked.Class = *c.Spec.StorageClassName
	}
	if size, ok := c.Spec.Resources.Requests[v1.ResourceStorage]; ok {
		asked.Size = size.String()
	}
	if asked == kept {
		return nil
	}
	return m.writeClaim(asked)
}

// maxClaim bounds the record of a claim, in bytes.
const maxClaim = 64 << 10

// claim finds a claim, or makes it. Where its record is missing, or damaged, the data count, and the rest is made anew.
func (m Manager) claim(namespace, name string) (Claim, error) {
	dir := filepath.Join(m.Claims, namespace, name)
	c, err := readClaim(filepath.Join(dir, "claim.json"))
	if err == nil {
		c.Namespace, c.Name, c.Path = namespace, name, filepath.Join(dir, "data")
		return c, os.MkdirAll(c.Path, 0o777)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return c, err
	}
	c = Claim{Namespace: namespace, Name: name, CreatedAt: time.Now().UTC().Truncate(time.Second), Path: filepath.Join(dir, "data")}
	if _, err := os.Stat(c.Path); err == nil {
		return c, m.writeClaim(c)
	}
	if err := makeOpenDir(c.Path); err != nil {
		return c, err
	}
	return c, m.writeClaim(c)
}

// readClaim reads a record. A damaged one is set aside, and then does not exist.
func readClaim(path string) (c Claim, err error) {
	c, damaged, err := loadClaim(path)
	if !damaged {
		return c, err
	}
	told, err := durable.SetAside(path, err)
	if err != nil {
		return c, err
	}
	slog.Warn("the record of a claim is damaged; its data are kept", "err", told)
	return c, os.ErrNotExist
}

func loadClaim(path string) (c Claim, damaged bool, err error) {
	data, err := durable.ReadFile(path, maxClaim)
	if err != nil {
		return c, errors.Is(err, durable.ErrDamaged), err
	}
	err = json.Unmarshal(data, &c)
	return c, err != nil, err
}

func (m Manager) writeClaim(c Claim) error {
	data, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(m.Claims, c.Namespace, c.Name, "claim.json"), data, 0o600)
}

func (m Manager) setUpClaim(pod *v1.Pod, s *v1.PersistentVolumeClaimVolumeSource) error {
	c, err := m.claim(pod.Namespace, s.ClaimName)
	if err != nil {
		return fmt.Errorf("claim %q: %w", s.ClaimName, err)
	}
	if group := fsGroup(pod); group != nil {
		policy := pod.Spec.SecurityContext.FSGroupChangePolicy
		return giveToGroup(c.Path, *group, policy != nil && *policy == v1.FSGroupChangeOnRootMismatch)
	}
	return nil
}

// ListClaims lists all claims, by namespace and name. It writes nothing: a record that is missing or damaged is made anew when the claim is
// used.
func (m Manager) ListClaims() ([]Claim, error) {
	dirs, err := filepath.Glob(filepath.Join(m.Claims, "*", "*"))
	if err != nil {
		return nil, err
	}
	out := []Claim{}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() {
			continue // no claim
		}
		c, _, err := loadClaim(filepath.Join(dir, "claim.json"))
		if err != nil {
			c = Claim{CreatedAt: info.ModTime().UTC().Truncate(time.Second)}
		}
		c.Namespace, c.Name, c.Path = filepath.Base(filepath.Dir(dir)), filepath.Base(dir), filepath.Join(dir, "data")
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Claim) int { return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name) })
	return out, nil
}

// RemoveClaim removes a claim and its data. Nobody uses it. Data on a file system that is mounted there are not removed: that is
// foreign.ErrMounted.
func (m Manager) RemoveClaim(namespace, name string) error {
	dir := filepath.Join(m.Claims, namespace, name)
	if _, err := os.Stat(dir); err != nil {
		return err
	}
	for _, path := range []string{filepath.Join(dir, "data"), dir} { // the record goes last
		if err := foreign.RemoveAll(path); err != nil {
			return err
		}
	}
	os.Remove(filepath.Dir(dir)) //nolint:errcheck // other claims of the namespace may be in it
	return nil
}
