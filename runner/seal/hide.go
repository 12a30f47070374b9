package seal

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// hidden is an error whose text had values that nobody may see.
type hidden struct {
	text string
	error
}

func (h hidden) Error() string { return h.text }
func (h hidden) Unwrap() error { return h.error }

// leastHidden is the length of values that are looked for: a shorter one would be found everywhere.
const leastHidden = 4

// Hide keeps from an error's text what of p is not shown: an OCI runtime names the program that it does not find.
func Hide(err error, p, shown Process) error {
	if err == nil {
		return nil
	}
	instead := map[string]string{}
	for _, e := range p.Env {
		if name, value, _ := strings.Cut(e, "="); !slices.Contains(shown.Env, e) && len(value) >= leastHidden {
			instead[value] = "$(" + name + ")"
		}
	}
	for i, arg := range p.Args {
		if i < len(shown.Args) && arg != shown.Args[i] && arg != "" {
			instead[arg] = shown.Args[i]
		}
	}
	return HideValues(err, instead)
}

// HideValues puts others in the place of values in an error's text.
func HideValues(err error, instead map[string]string) error {
	if err == nil || len(instead) == 0 {
		return err
	}
	longestFirst := func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }
	text := err.Error()
	for _, v := range slices.SortedFunc(maps.Keys(instead), longestFirst) {
		quoted := strconv.Quote(v)
		text = strings.NewReplacer(v, instead[v], quoted[1:len(quoted)-1], instead[v]).Replace(text)
	}
	return hidden{text, err}
}
