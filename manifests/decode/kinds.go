package decode

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/solopod/solopod/manifests"
	kindsof "github.com/solopod/solopod/manifests/kinds"
)

// kinds are what a file can hold, beside v1.List, with what decodes them.
var kinds map[string]func(d *decoder, node *yaml.Node, path string)

func init() { // a map that is filled here may refer to functions that read it
	kinds = map[string]func(d *decoder, node *yaml.Node, path string){
		"v1/Pod":       (*decoder).decodePod,
		"v1/ConfigMap": (*decoder).decodeConfigMap,
		"v1/Secret":    (*decoder).decodeSecret,

		"v1/PersistentVolumeClaim": (*decoder).decodeClaim,

		"apps/v1/Deployment":  (*decoder).decodeDeployment,
		"apps/v1/ReplicaSet":  (*decoder).decodeReplicaSet,
		"apps/v1/StatefulSet": (*decoder).decodeStatefulSet,
		"apps/v1/DaemonSet":   (*decoder).decodeDaemonSet,
		"batch/v1/Job":        (*decoder).decodeJob,
		"batch/v1/CronJob":    (*decoder).decodeCronJob,

		"v1/Service":                         (*decoder).decodeService,
		"v1/Endpoints":                       (*decoder).decodeEndpoints,
		"discovery.k8s.io/v1/EndpointSlice":  (*decoder).decodeEndpointSlice,
		"networking.k8s.io/v1/NetworkPolicy": (*decoder).decodeNetworkPolicy,
		"v1/Namespace":                       (*decoder).decodeNamespace,
	}
}

// taken names all kinds of that map, in their order.
var taken = sync.OnceValue(func() []string { return slices.Sorted(maps.Keys(kinds)) })

// otherKind says what becomes of an object of a kind that is not decoded.
func (d *decoder) otherKind(node *yaml.Node, path, apiVersion, kind string) {
	verdict := kindsof.Of(apiVersion, kind, taken())
	p := manifests.Problem{File: d.file, Position: at(child(node, "kind")), Path: join(path, "kind"), Message: verdict.Text}
	if verdict.Ignored {
		w := d.walker(node)
		w.pairs(node, path) // two documents without a line between them are not one that may be left out
		p.Control, p.Warning = "clusterKinds/"+kind, !d.opts.RefuseClusterKinds
		if name := nameOf(node); p.Warning {
			p.Message = fmt.Sprintf("%s%s is not used: %s", kind, name, verdict.Text)
		} else {
			p.Message = fmt.Sprintf("%s%s is not for Solopod, and clusterKinds: refuse does not leave it out: %s", kind, name, verdict.Text)
		}
	}
	d.problems.add(p)
}

// nameOf is an object's name as a message shows it, with a blank before it.
func nameOf(node *yaml.Node) string {
	meta := child(node, "metadata")
	if meta == nil {
		return ""
	}
	name := scalar(meta, "name")
	if namespace := scalar(meta, "namespace"); namespace != "" && name != "" {
		name = namespace + "/" + name
	}
	if name == "" || len(name) > maxKey {
		return ""
	}
	return " " + manifests.PrintableName(name)
}

// missing says what an object without apiVersion, or without kind, lacks.
func missing(node *yaml.Node, apiVersion, kind string) string {
	var keys []string
	for i := 0; i+1 < len(node.Content); i += 2 {
		keys = append(keys, node.Content[i].Value)
	}
	if said := kindsof.Without(keys); said != "" {
		return "apiVersion and kind are required; " + said
	}
	for _, t := range taken() {
		version, name := t[:strings.LastIndex(t, "/")], t[strings.LastIndex(t, "/")+1:]
		if apiVersion == "" && name == kind {
			return fmt.Sprintf("apiVersion is required; a %s has \"apiVersion: %s\"", kind, version)
		}
	}
	for _, usual := range []string{"v1/Pod", "apps/v1/Deployment", "batch/v1/Job"} {
		if version, name, ok := strings.Cut(usual, apiVersion+"/"); kind == "" && ok && version == "" {
			return fmt.Sprintf("kind is required; apiVersion %s has %s, for instance", apiVersion, name)
		}
	}
	return `apiVersion and kind are required; a pod has "apiVersion: v1" and "kind: Pod"`
}
