package kube

import (
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// taken are the kinds that the manifests directory takes, by apiVersion.
var taken = map[string]string{
	"Pod": "v1", "ConfigMap": "v1", "Secret": "v1", "PersistentVolumeClaim": "v1", "Service": "v1", "Endpoints": "v1", "Namespace": "v1",
	"Deployment": "apps/v1", "ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1",
	"EndpointSlice": "discovery.k8s.io/v1", "NetworkPolicy": "networking.k8s.io/v1",
}

// former are apiVersions that Kubernetes has removed, of which a document becomes one of today.
var former = map[string]bool{
	"extensions/v1beta1": true, "apps/v1beta1": true, "apps/v1beta2": true, "batch/v1beta1": true, "batch/v2alpha1": true,
	"discovery.k8s.io/v1beta1": true, "": true,
}

// get is the value of a key of a map, nil where there is none.
func get(n *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		n = one(n, key)
	}
	return n
}

func one(n *yaml.Node, key string) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			v := n.Content[i+1]
			for v.Kind == yaml.AliasNode {
				v = v.Alias
			}
			return v
		}
	}
	return nil
}

// set gives a key of a map a value, at the end where it is new.
func set(n *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key, Line: value.Line}, value)
}

// remove takes a key away.
func remove(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = append(n.Content[:i:i], n.Content[i+2:]...)
			return
		}
	}
}

func text(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

// word makes a scalar that stands where n does.
func word(n *yaml.Node, tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value, Line: n.Line, LineComment: n.LineComment, HeadComment: n.HeadComment}
}

func items(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// Get is the value at a path of keys, nil where there is none.
func Get(n *yaml.Node, path ...string) *yaml.Node { return get(n, path...) }

// Set gives a key of a map a value.
func Set(n *yaml.Node, key string, value *yaml.Node) { set(n, key, value) }

var step = regexp.MustCompile(`\[(\d+)\]|[^.\[\]]+`)

// LineOf is the line where a field stands in the file that the document was read from: of spec.containers[0].image, or of what is there
// of that.
func LineOf(n *yaml.Node, path string) int {
	line := n.Line
	for _, m := range step.FindAllStringSubmatch(path, -1) {
		if m[1] != "" {
			i, err := strconv.Atoi(m[1])
			if list := items(n); err == nil && i < len(list) {
				n = list[i]
			} else {
				n = nil
			}
		} else {
			n = one(n, m[0])
		}
		if n == nil {
			break
		}
		if n.Line > 0 {
			line = n.Line
		}
	}
	return line
}
