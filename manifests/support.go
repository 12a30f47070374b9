package manifests

import "strings"

// supportKind says what Solopod does with a field that Kubernetes knows.
type supportKind int

const (
	// refused is the zero value: a field that no row names, for instance one of a newer k8s.io/api, is refused.
	refused supportKind = iota
	implemented
	// withoutEffect: accepted; with a reason, that is said once. Without one it is bookkeeping of a cluster's.
	withoutEffect
)

type support struct {
	kind   supportKind
	reason string
}

const (
	notYet      = "this field is valid in Kubernetes but not implemented by this version of Solopod; remove it"
	onlyCluster = "only a cluster gives it a meaning"
	noScheduler = "there is no scheduler; every pod of the directory runs on this machine"
	noAPIServer = "there is no API server to talk to"
)

// implementedFields names, for each type of k8s.io/api/core/v1, the fields that do what the kubelet does with them.
// Single values of an implemented field can still be refused, in validate.go.
var implementedFields = map[string]string{
	"TypeMeta":   "apiVersion kind",
	"Pod":        "metadata spec",
	"ObjectMeta": "name namespace uid labels annotations",
	"PodSpec": "volumes containers restartPolicy terminationGracePeriodSeconds dnsPolicy dnsConfig hostNetwork hostname " +
		"securityContext priorityClassName priority os",
	"PodOS":              "name",
	"PodDNSConfig":       "nameservers searches options",
	"PodDNSConfigOption": "name value",
	"PodSecurityContext": "runAsUser runAsGroup seccompProfile",
	"Container": "name image command args workingDir ports env resources volumeMounts livenessProbe readinessProbe " +
		"startupProbe terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext stdin stdinOnce tty",
	"ContainerPort":        "name hostPort containerPort protocol hostIP",
	"EnvVar":               "name value",
	"ResourceRequirements": "limits requests",
	"VolumeMount":          "name readOnly recursiveReadOnly mountPath mountPropagation",
	"Volume":               "name",
	"VolumeSource":         "hostPath emptyDir",
	"HostPathVolumeSource": "path type",
	"EmptyDirVolumeSource": "medium sizeLimit",
	"Probe":                "initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold",
	"ProbeHandler":         "exec httpGet tcpSocket grpc",
	"ExecAction":           "command",
	"HTTPGetAction":        "path port host scheme httpHeaders",
	"HTTPHeader":           "name value",
	"TCPSocketAction":      "port host",
	"GRPCAction":           "port service",
	"SecurityContext": "capabilities privileged runAsUser runAsGroup readOnlyRootFilesystem allowPrivilegeEscalation " +
		"seccompProfile procMount",
	"Capabilities":   "add drop",
	"SeccompProfile": "type",
}

// fieldsWithoutEffect: Type.field -> why; an empty reason is not worth a word.
var fieldsWithoutEffect = map[string]string{
	"Pod.status":                            "",
	"ObjectMeta.creationTimestamp":          "",
	"ObjectMeta.resourceVersion":            "",
	"ObjectMeta.generation":                 "",
	"ObjectMeta.selfLink":                   "",
	"ObjectMeta.managedFields":              "",
	"ObjectMeta.ownerReferences":            onlyCluster,
	"ObjectMeta.finalizers":                 onlyCluster,
	"ObjectMeta.deletionTimestamp":          onlyCluster,
	"ObjectMeta.deletionGracePeriodSeconds": onlyCluster,
	"PodSpec.nodeSelector":                  noScheduler,
	"PodSpec.nodeName":                      noScheduler,
	"PodSpec.affinity":                      noScheduler,
	"PodSpec.tolerations":                   noScheduler,
	"PodSpec.schedulerName":                 noScheduler,
	"PodSpec.topologySpreadConstraints":     noScheduler,
	"PodSpec.preemptionPolicy":              noScheduler,
	"PodSpec.schedulingGates":               noScheduler,
	"PodSpec.serviceAccountName":            noAPIServer,
	"PodSpec.serviceAccount":                noAPIServer,
	"PodSpec.automountServiceAccountToken":  noAPIServer,
	"PodSpec.enableServiceLinks":            onlyCluster,
}

// refusedFields gives better words than notYet where there are some.
var refusedFields = map[string]string{
	"ObjectMeta.generateName":     "a manifest's pod needs a name of its own: set metadata.name",
	"PodSpec.ephemeralContainers": "ephemeral containers cannot stand in a manifest, in Kubernetes neither",
	"PodSpec.imagePullSecrets":    "registry credentials are not implemented by this version of Solopod; import the image from a file",
	"EnvVar.valueFrom":            "valueFrom is not implemented by this version of Solopod; write the value itself",
}

// supportOf looks a field up by the Go type that declares it.
func supportOf(owner, name string) support {
	for _, f := range strings.Fields(implementedFields[owner]) {
		if f == name {
			return support{kind: implemented}
		}
	}
	key := owner + "." + name
	if reason, ok := fieldsWithoutEffect[key]; ok {
		return support{withoutEffect, reason}
	}
	if reason, ok := refusedFields[key]; ok {
		return support{refused, reason}
	}
	if insideIgnored(owner) {
		return support{kind: implemented}
	}
	return support{refused, notYet}
}

// insideIgnored: types that only occur below fields without effect are walked for spelling, no more.
func insideIgnored(owner string) bool {
	switch owner {
	case "Affinity", "NodeAffinity", "PodAffinity", "PodAntiAffinity", "NodeSelector", "NodeSelectorTerm",
		"NodeSelectorRequirement", "PreferredSchedulingTerm", "PodAffinityTerm", "WeightedPodAffinityTerm", "Toleration",
		"TopologySpreadConstraint", "LabelSelector", "LabelSelectorRequirement", "PodSchedulingGate", "OwnerReference",
		"ManagedFieldsEntry":
		return true
	}
	return false
}
