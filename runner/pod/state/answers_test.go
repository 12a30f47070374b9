package state

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

// Thresholds, as the API describes them: consecutive answers decide.
func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		kind             ProbeKind
		success, failure int32
		answers, want    string // + and -; want has the decided state, or . for none
	}{
		"readiness begins unhealthy":   {Readiness, 1, 3, "+", "+"},
		"one failure is not enough":    {Readiness, 1, 3, "+--+", "+..."},
		"three in a row are":           {Readiness, 1, 3, "+---+", "+..-+"},
		"a success between them":       {Readiness, 1, 3, "+--+--", "+....."},
		"two successes wanted":         {Readiness, 2, 1, "+-++-", ".-.+-"},
		"failure from the start":       {Readiness, 1, 2, "----", ".-.."},
		"liveness":                     {Liveness, 1, 2, "++-+--", "+....-"},
		"thresholds of zero are one's": {Readiness, 0, 0, "+-", "+-"},
	} {
		p := &v1.Probe{SuccessThreshold: c.success, FailureThreshold: c.failure}
		answers := Answers{Healthy: c.kind == Liveness}
		got := ""
		for _, a := range c.answers {
			var decided bool
			answers, decided = answers.Count(p, a == '+')
			switch {
			case !decided:
				got += "."
			case answers.Healthy:
				got += "+"
			default:
				got += "-"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s gave %s, want %s", name, c.answers, got, c.want)
		}
	}
}
