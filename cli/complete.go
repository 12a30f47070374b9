package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/manifests"
)

// completionLimit is how long the daemon may take to name what there is. One that does not answer completes nothing.
const completionLimit = 2 * time.Second

// completePods completes the name of a pod, one to a command.
func (g *global) completePods(namespace *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if word, _, slash := strings.Cut(toComplete, "/"); slash {
			return g.completeSlash(cmd, word, *namespace)
		}
		return g.namesOf(cmd, podKind, *namespace, "", nil)
	}
}

// completeImages completes one name of an image.
func (g *global) completeImages(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return g.namesOf(cmd, imagesKind(), "", "", nil)
}

// completeClaims completes one claim that has a directory, be there a manifest of it or not.
func (g *global) completeClaims(namespace *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
		defer cancel()
		claims, err := g.client().Claims(ctx)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		for i := range claims {
			if c := &claims[i]; c.Namespace == *namespace {
				names = append(names, cobra.CompletionWithDesc(c.Name, strings.Join(c.Pods, ", ")))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeCopy completes what cp takes: POD:, or a file of this machine's, which the shell knows.
func (g *global) completeCopy(namespace *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 1 || strings.ContainsAny(toComplete, "/.:") {
			return nil, cobra.ShellCompDirectiveDefault
		}
		names, failed := g.namesOf(cmd, podKind, *namespace, "", nil)
		if failed == cobra.ShellCompDirectiveError {
			return nil, cobra.ShellCompDirectiveDefault // files all the same
		}
		for i, name := range names {
			name, told, _ := strings.Cut(name, "\t")
			names[i] = cobra.CompletionWithDesc(name+":", told)
		}
		return names, cobra.ShellCompDirectiveNoSpace
	}
}

// completeObjects completes TYPE, TYPE/NAME and the names of a type; with several, more than one of them.
func (g *global) completeObjects(namespace *string, several bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if word, _, slash := strings.Cut(toComplete, "/"); slash && (len(args) == 0 || strings.Contains(args[0], "/")) {
			return g.completeSlash(cmd, word, *namespace)
		}
		if len(args) == 0 {
			return completeTypes(toComplete), cobra.ShellCompDirectiveNoFileComp
		}
		if strings.Contains(args[0], "/") || len(args) > 1 && !several {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		of, err := kindsNamed(args[0])
		if err != nil || len(of) != 1 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return g.namesOf(cmd, of[0], *namespace, "", args[1:])
	}
}

func (g *global) completeSlash(cmd *cobra.Command, word, namespace string) ([]cobra.Completion, cobra.ShellCompDirective) {
	k, err := kindNamed(word)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return g.namesOf(cmd, k, namespace, word+"/", nil)
}

// completeTypes are the types, also behind others and a comma.
func completeTypes(toComplete string) []cobra.Completion {
	before := toComplete[:strings.LastIndex(toComplete, ",")+1]
	var out []cobra.Completion
	for _, k := range kinds() {
		out = append(out, cobra.CompletionWithDesc(before+k.plural, strings.Join(k.short, ", ")))
	}
	return append(out, before+everything)
}

// namesOf are the names of a kind's objects in a namespace, behind a prefix, but for those that were given already.
func (g *global) namesOf(cmd *cobra.Command, k *kind, namespace, prefix string, given []string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
	defer cancel()
	all, err := k.list(ctx, g.client())
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	s := &selection{namespace: namespace}
	var names []cobra.Completion
	seen := map[string]bool{}
	for _, i := range all {
		if !s.reaches(k, i) || seen[i.meta.Name] || slices.Contains(given, i.meta.Name) {
			continue
		}
		seen[i.meta.Name] = true
		names = append(names, cobra.CompletionWithDesc(prefix+i.meta.Name, k.told(i)))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeNamespaces completes -n.
func (g *global) completeNamespaces(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return g.namesOf(cmd, namespaceKind, "", "", nil)
}

// completeContainers completes -c: the containers of the pod that was named, or of all pods.
func (g *global) completeContainers(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	namespace, err := cmd.Flags().GetString("namespace")
	if err != nil {
		namespace = v1.NamespaceDefault
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionLimit)
	defer cancel()
	pods, err := g.client().Pods(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []cobra.Completion
	for i := range pods {
		if p := &pods[i]; p.Namespace == namespace && (len(args) == 0 || means(args[0], p)) {
			for _, c := range manifests.AllContainers(p) {
				if name := cobra.CompletionWithDesc(c.Name, c.Image); !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeForms completes -o.
func completeForms(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return []cobra.Completion{"wide", "json", "yaml", "name", "jsonpath=", "go-template=", "custom-columns="}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
