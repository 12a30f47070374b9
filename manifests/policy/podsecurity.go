package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/pod-security-admission/api"
	standards "k8s.io/pod-security-admission/policy"

	"github.com/solopod/solopod/manifests"
)

// Levels says which level of the Pod Security Standards pods must keep to (Enforce), and of which it is only told that they do not
// (Warn): privileged, baseline or restricted; empty is the default's. Versions are latest or like v1.37.
type Levels struct {
	Enforce        string `json:"enforce,omitempty"`
	EnforceVersion string `json:"enforceVersion,omitempty"`
	Warn           string `json:"warn,omitempty"`
	WarnVersion    string `json:"warnVersion,omitempty"`
}

// UnmarshalJSON reads an object, or the one word that is enforced.
func (l *Levels) UnmarshalJSON(data []byte) error {
	type plain Levels
	if word, ok := oneWord(data); ok {
		*l = Levels{Enforce: word}
		return nil
	}
	return strictly(data, (*plain)(l))
}

// PodSecurity is the setting of that name: the levels of all pods, and those of single namespaces, which take what they leave out from
// the former.
type PodSecurity struct {
	Enforce        string            `json:"enforce,omitempty"`
	EnforceVersion string            `json:"enforceVersion,omitempty"`
	Warn           string            `json:"warn,omitempty"`
	WarnVersion    string            `json:"warnVersion,omitempty"`
	Namespaces     map[string]Levels `json:"namespaces,omitempty"`
}

// UnmarshalJSON reads an object, or the one word that is enforced.
func (s *PodSecurity) UnmarshalJSON(data []byte) error {
	type plain PodSecurity
	if word, ok := oneWord(data); ok {
		*s = PodSecurity{Enforce: word}
		return nil
	}
	return strictly(data, (*plain)(s))
}

func oneWord(data []byte) (word string, ok bool) {
	err := json.Unmarshal(data, &word)
	return word, err == nil && word != ""
}

// security is a PodSecurity that has been read.
type security struct {
	node       api.Policy
	namespaces map[string]api.Policy
}

func newSecurity(s PodSecurity) (security, error) {
	none := api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()}
	node, err := read(Levels{s.Enforce, s.EnforceVersion, s.Warn, s.WarnVersion}, api.Policy{Enforce: none, Audit: none, Warn: none})
	out := security{node: node, namespaces: map[string]api.Policy{}}
	if err != nil {
		return out, fmt.Errorf("podSecurity: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Namespaces)) {
		if err := checkNamespace(name); err != nil {
			return out, fmt.Errorf("podSecurity.namespaces: %w", err)
		}
		if out.namespaces[name], err = read(s.Namespaces[name], node); err != nil {
			return out, fmt.Errorf("podSecurity.namespaces.%s: %w", name, err)
		}
	}
	return out, nil
}

func checkNamespace(name string) error {
	if messages := validation.IsDNS1123Label(name); len(messages) > 0 {
		return fmt.Errorf("%q is no namespace: %s", name, messages[0])
	}
	return nil
}

// read has the library read levels as if they were the labels of a namespace, so that they mean the same.
func read(l Levels, defaults api.Policy) (api.Policy, error) {
	labels := map[string]string{}
	for _, s := range []struct{ key, label, value string }{
		{"enforce", api.EnforceLevelLabel, l.Enforce}, {"enforceVersion", api.EnforceVersionLabel, l.EnforceVersion},
		{"warn", api.WarnLevelLabel, l.Warn}, {"warnVersion", api.WarnVersionLabel, l.WarnVersion},
	} {
		if s.value == "" {
			continue
		}
		labels[s.label] = s.value
		if _, errs := api.PolicyToEvaluate(map[string]string{s.label: s.value}, defaults); len(errs) == 0 {
			continue
		}
		if strings.HasSuffix(s.key, "Version") {
			return defaults, fmt.Errorf("%s is latest or a version like v1.37, not %q", s.key, s.value)
		}
		return defaults, fmt.Errorf("%s is privileged, baseline or restricted, not %q", s.key, s.value)
	}
	out, errs := api.PolicyToEvaluate(labels, defaults)
	if l.Warn == "" { // the library warns of what is enforced, too; here what is refused need not be warned of
		out.Warn.Level = defaults.Warn.Level
	}
	return out, errs.ToAggregate()
}

func (s *security) of(namespace string) api.Policy {
	if own, ok := s.namespaces[namespace]; ok {
		return own
	}
	return s.node
}

// judge says what of the pod its namespace's levels forbid, and of what they warn.
func (s *security) judge(pod *v1.Pod) manifests.Problems {
	levels := s.of(pod.Namespace)
	out := breaches(levels.Enforce, "does not allow it", pod)
	refused := map[string]bool{}
	for _, p := range out {
		refused[p.Control+" "+p.Path] = true
	}
	for _, p := range breaches(levels.Warn, "would not allow it", pod) {
		if !refused[p.Control+" "+p.Path] {
			p.Warning = true
			out = append(out, p)
		}
	}
	return out
}

// breaches are the fields of a pod that break a level, and what it says of them.
func breaches(level api.LevelVersion, says string, pod *v1.Pod) (out manifests.Problems) {
	for _, c := range checksOf(level) {
		whole := c.check(&pod.ObjectMeta, &pod.Spec)
		if whole.Allowed || len(out) >= maxProblems {
			continue
		}
		row := controls[c.id]
		tell := func(path string, r standards.CheckResult) {
			out = append(out, manifests.Problem{Path: path, Control: "podSecurity/" + string(c.id), Message: message(level, says, row.name, r)})
		}
		found := false
		if row.parts != nil {
			row.parts(&pod.ObjectMeta, &pod.Spec, func(path string, meta *metav1.ObjectMeta, spec *v1.PodSpec) {
				if len(out) >= maxProblems {
					return
				}
				if r := c.check(meta, spec); !r.Allowed {
					found = true
					tell(path, r)
				}
			})
		}
		if !found {
			tell("spec", whole)
		}
	}
	return out
}

func message(level api.LevelVersion, says, control string, r standards.CheckResult) string {
	of := string(level.Level)
	if !level.Latest() {
		of += " " + level.Version.String()
	}
	out := fmt.Sprintf("podSecurity %s %s (%s): %s", of, says, control, r.ForbiddenReason)
	if r.ForbiddenDetail != "" {
		out += ": " + r.ForbiddenDetail
	}
	return out
}

// check is a control in the form of one version.
type check struct {
	id    standards.CheckID
	check standards.CheckPodFn
}

var allChecks = sync.OnceValue(standards.DefaultChecks)

// checksOf are the controls of a level as its version has them. Some of restricted stand in for those of baseline.
func checksOf(level api.LevelVersion) []check {
	if level.Level == api.LevelPrivileged {
		return nil
	}
	var out []check
	overridden := map[standards.CheckID]bool{}
	for _, c := range allChecks() {
		if c.Level == api.LevelRestricted && level.Level != api.LevelRestricted {
			continue
		}
		var now *standards.VersionedCheck
		for i := range c.Versions { // oldest first
			if !level.Older(c.Versions[i].MinimumVersion) {
				now = &c.Versions[i]
			}
		}
		if now == nil {
			continue
		}
		out = append(out, check{c.ID, now.CheckPod})
		for _, id := range now.OverrideCheckIDs {
			overridden[id] = true
		}
	}
	return slices.DeleteFunc(out, func(c check) bool { return overridden[c.id] })
}
