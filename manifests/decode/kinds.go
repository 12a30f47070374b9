package decode

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/solopod/solopod/manifests/spelling"
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
	}
}

// otherKinds are kinds of Kubernetes that are no slip of the pen, with what to do instead.
var otherKinds = map[string]string{
	"Service":               "there is no service network; use hostPort, or hostNetwork",
	"Ingress":               "run a proxy as a pod with hostPort",
	"Namespace":             "namespaces need no object; metadata.namespace is enough, and podSecurity of the configuration has their levels",
	"PersistentVolume":      "claims are directories of this machine; use hostPath, or a PersistentVolumeClaim",
	"ServiceAccount":        noAPIServer,
	"Role":                  noAPIServer,
	"ClusterRole":           noAPIServer,
	"RoleBinding":           noAPIServer,
	"ClusterRoleBinding":    noAPIServer,
	"Node":                  noAPIServer,
	"Event":                 noAPIServer,
	"StorageClass":          "claims are directories of this machine, whatever their class",
	"NetworkPolicy":         "it is not implemented; use the host's firewall",
	"PodDisruptionBudget":   onlyCluster,
	"ReplicationController": "use a Deployment",
}

func unknownKind(apiVersion, kind string) string {
	if advice, ok := otherKinds[kind]; ok {
		return fmt.Sprintf("%s/%s is not for Solopod: %s", apiVersion, kind, advice)
	}
	names := []string{"List"}
	for known := range kinds {
		name := known[strings.LastIndex(known, "/")+1:]
		if name == kind {
			return fmt.Sprintf("%s is %s, not %s/%s", kind, strings.TrimSuffix(known, "/"+kind), apiVersion, kind)
		}
		names = append(names, name)
	}
	if near := spelling.Nearest(kind, names); near != "" {
		return fmt.Sprintf("unknown kind %q; did you mean %q?", kind, near)
	}
	return fmt.Sprintf("%s/%s is not implemented by this version of Solopod; what is: %s and v1/List", apiVersion, kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
}
