// Package policy says which pods and Services a machine takes: by the Pod Security Standards of Kubernetes (PodSecurity), and by rules of its own
// (Rules). It is pure; what is behind a path of the host is looked at when the volume is set up.
package policy

import (
	"errors"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// Policy is what a machine's configuration says of pods. It does not change, and is safe for concurrent use.
type Policy struct {
	security security
	rules    ruleSet
}

// New makes a policy of settings. What they leave out restricts nothing.
func New(s PodSecurity, r Rules) (*Policy, error) {
	p := &Policy{}
	var err error
	if p.security, err = newSecurity(s); err != nil {
		return nil, err
	}
	p.rules, err = newRuleSet(r)
	return p, err
}

// Judge says what of a defaulted pod is not allowed, and, as warnings, what is told of it. The problems have a path and no place in a
// file.
func (p *Policy) Judge(pod *v1.Pod) manifests.Problems {
	return append(p.security.judge(pod), p.rules.of(pod.Namespace).judge(pod)...)
}

// Admit is Judge for a pod without a file: an error that says what is not allowed.
func (p *Policy) Admit(pod *v1.Pod) error {
	forbidden := p.Judge(pod).Errors()
	if len(forbidden) == 0 {
		return nil
	}
	said, more := make([]string, 0, mostTold), ""
	for _, f := range forbidden[:min(mostTold, len(forbidden))] {
		said = append(said, f.Path+": "+f.Message)
	}
	if left := len(forbidden) - len(said); left > 0 {
		more = fmt.Sprintf("; and %d more (solopod check --config tells all)", left)
	}
	return fmt.Errorf("%w: %s%s", ErrForbidden, strings.Join(said, "; "), more)
}

const (
	// maxProblems bounds what is said of one pod by each of its judges, as by validation.
	maxProblems = 100
	// mostTold bounds it where it is said in one line.
	mostTold = 5
)

// ErrForbidden says that a pod must not begin.
var ErrForbidden = errors.New("the configuration of this machine does not allow the pod")
