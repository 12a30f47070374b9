// Package kinds knows what kinds of objects the world's manifests hold beside those that Solopod takes: what only a cluster serves, and
// what is to be done here instead; what is no object at all, but a file of a tool; and what is a slip of the pen. It does no I/O.
package kinds

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/solopod/solopod/manifests/spelling"
)

// Verdict is what becomes of an object of a kind that Solopod does not take.
type Verdict struct {
	// Ignored: only a cluster serves the kind, and it may be left out. Otherwise it is an error.
	Ignored bool
	// Text says what the kind is and what to do. When it is ignored it goes on where the object was named: "there is no API server".
	Text string
}

// maxWord bounds what is looked at of an apiVersion and of a kind, in bytes; Kubernetes allows 253+1+63, and 63.
const maxWord = 320

var (
	versionForm = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	groupForm   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)
	kindForm    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,62}$`)
)

// Of judges an object's apiVersion and kind, neither of them empty, which are not among taken: what Solopod takes, each as "apps/v1/Deployment".
func Of(apiVersion, kind string, taken []string) Verdict {
	if len(apiVersion) > maxWord || len(kind) > maxWord {
		return Verdict{Text: "its apiVersion or kind is longer than those of Kubernetes can be"}
	}
	group, version, ok := strings.Cut(apiVersion, "/")
	if !ok {
		group, version = "", apiVersion
	}
	if text, ok := ofTools[group+"/"+kind]; ok {
		return Verdict{Text: text}
	}
	if text, ok := toolGroups[group]; ok {
		return Verdict{Text: text}
	}
	if right := versionsOf(kind, taken); len(right) > 0 && (builtIn(group) || meant(group, right)) {
		return Verdict{Text: fmt.Sprintf("%s is %s, not %s", kind, strings.Join(right, " or "), apiVersion)}
	}
	if kind == "ReplicationController" && group == "" {
		return Verdict{Text: "a ReplicationController is not for Solopod: use a Deployment"}
	}
	if text, ok := guards[group+"/"+kind]; ok {
		return Verdict{Text: text}
	}
	if text, ok := guards[group+"/"]; ok {
		return Verdict{Text: text}
	}
	if builtIn(group) {
		return ofKubernetes(apiVersion, group, kind, taken)
	}
	if !versionForm.MatchString(version) || !groupForm.MatchString(group) || !strings.Contains(group, ".") {
		return Verdict{Text: unknownVersion(apiVersion, group, taken)}
	}
	if !kindForm.MatchString(kind) {
		return Verdict{Text: fmt.Sprintf("%q is not the name of a kind", kind)}
	}
	return Verdict{Ignored: true, Text: ofOthers(group, kind)}
}

// ofKubernetes judges a kind of one of Kubernetes' own groups.
func ofKubernetes(apiVersion, group, kind string, taken []string) Verdict {
	if advice, ok := served[group+"/"+strings.TrimSuffix(kind, "List")]; ok { // a list of them as well
		return Verdict{Ignored: true, Text: advice}
	}
	ours := []string{"List"}
	for _, t := range taken {
		ours = append(ours, t[strings.LastIndex(t, "/")+1:])
	}
	names := slices.Clone(ours)
	for _, known := range slices.Sorted(maps.Keys(served)) {
		g, name, _ := strings.Cut(known, "/")
		if name == kind && g != "extensions" { // long gone
			return Verdict{Text: fmt.Sprintf("%s is of the group %q, not of apiVersion %s", kind, g, apiVersion)}
		}
		names = append(names, name)
	}
	near := spelling.Nearest(kind, ours)
	if near == "" || len(near) < len(kind)-2 { // ServiceAcount begins like a Service, and is none
		near = spelling.Nearest(kind, names)
	}
	if near != "" {
		return Verdict{Text: fmt.Sprintf("unknown kind %q; did you mean %q?", kind, near)}
	}
	return Verdict{Text: fmt.Sprintf("unknown kind %q of apiVersion %s; what Solopod takes is %s and v1/List", kind, apiVersion, strings.Join(taken, ", "))}
}

// versionsOf are the apiVersions in which a kind is taken.
func versionsOf(kind string, taken []string) (out []string) {
	for _, t := range taken {
		if version, ok := strings.CutSuffix(t, "/"+kind); ok {
			out = append(out, version)
		}
	}
	return out
}

// meant: a group that is none of Kubernetes' and looks like one of those in which the kind is taken. A Service of serving.knative.dev is
// another thing than one of Kubernetes.
func meant(group string, right []string) bool {
	if !strings.Contains(group, ".") {
		return true // those of others are domains
	}
	for _, r := range right {
		g, _, ok := strings.Cut(r, "/")
		if !ok {
			continue
		}
		if group == g+".k8s.io" || len(group) < len(g)+len(".io") && spelling.Nearest(group, []string{g}) != "" {
			return true
		}
	}
	return false
}

func builtIn(group string) bool { return groups[group] }

// unknownVersion says what is wrong with an apiVersion that nobody can serve.
func unknownVersion(apiVersion, group string, taken []string) string {
	known := make([]string, 0, len(taken))
	for _, t := range taken {
		known = append(known, t[:strings.LastIndex(t, "/")])
	}
	slices.Sort(known)
	if near := spelling.Nearest(apiVersion, slices.Compact(known)); near != "" {
		return fmt.Sprintf("unknown apiVersion %q; did you mean %q?", apiVersion, near)
	}
	if group != "" && !strings.Contains(group, ".") {
		return fmt.Sprintf("unknown apiVersion %q: %q is no group of Kubernetes, and those of others are domains like example.com", apiVersion, group)
	}
	return fmt.Sprintf("%q is not an apiVersion; they are like v1, apps/v1 or example.com/v1", apiVersion)
}

// ofOthers says what comes of a custom resource.
func ofOthers(group, kind string) string {
	for _, key := range []string{group + "/" + kind, group + "/", "/" + kind} {
		if advice, ok := others[key]; ok {
			return advice
		}
	}
	for suffix, advice := range families {
		if group == suffix || strings.HasSuffix(group, "."+suffix) {
			return advice
		}
	}
	return "it is a custom resource, and no controller of it runs here; write what the controller would make of it, or remove it"
}
