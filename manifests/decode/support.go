package decode

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
	notKnown    = "this field is newer than this version of Solopod; remove it"
	onlyCluster = "only a cluster gives it a meaning"
	noScheduler = "there is no scheduler; every pod of the directory runs on this machine"
	oneMachine  = "there is one machine; all endpoints are equally near"
	noAPIServer = "there is no API server to talk to"
)

// fieldRow: fields of the type owner, and what is said of them.
type fieldRow struct{ owner, fields, text string }

// flatten makes "Type.field" -> text of the rows.
func flatten(rows []fieldRow) map[string]string {
	out := map[string]string{}
	for _, r := range rows {
		for _, f := range strings.Fields(r.fields) {
			out[r.owner+"."+f] = r.text
		}
	}
	return out
}

// fieldsWithoutEffect: Type.field -> why; an empty reason is not worth a word.
var fieldsWithoutEffect = map[string]string{
	"Pod.status":                   "",
	"PersistentVolumeClaim.status": "",
	"Deployment.status":            "",
	"ReplicaSet.status":            "",
	"StatefulSet.status":           "",
	"DaemonSet.status":             "",
	"Job.status":                   "",
	"CronJob.status":               "",

	"ReplicaSetSpec.minReadySeconds":                       "the pods of a ReplicaSet are replaced at once; a Deployment waits for them",
	"StatefulSetSpec.podManagementPolicy":                  "all pods are started at once",
	"StatefulSetSpec.persistentVolumeClaimRetentionPolicy": "claims stay until they are removed by command",
	"JobSpec.selector":                                     "a Job's pods are known by name",
	"JobSpec.manualSelector":                               "a Job's pods are known by name",
	"JobSpec.podReplacementPolicy":                         "a pod is replaced when it has failed",
	"JobSpec.scheduling":                                   noScheduler,

	"PodSecurityContext.seLinuxChangePolicy": "files of volumes are labelled one by one, and only where they need it",

	"PersistentVolumeClaimSpec.accessModes":               "", // there must be some, and on one machine they mean the same
	"PersistentVolumeClaimSpec.volumeMode":                "every claim is a directory of this machine",
	"PersistentVolumeClaimSpec.volumeName":                "every claim is a directory of this machine",
	"PersistentVolumeClaimSpec.volumeAttributesClassName": "every claim is a directory of this machine",
	"VolumeResourceRequirements.limits":                   "a claim's size is recorded, not enforced",
	"ObjectMeta.creationTimestamp":                        "",
	"ObjectMeta.resourceVersion":                          "",
	"ObjectMeta.generation":                               "",
	"ObjectMeta.generateName":                             "",
	"ObjectMeta.selfLink":                                 "",
	"ObjectMeta.managedFields":                            "",
	"ObjectMeta.ownerReferences":                          onlyCluster,
	"ObjectMeta.finalizers":                               onlyCluster,
	"ObjectMeta.deletionTimestamp":                        onlyCluster,
	"ObjectMeta.deletionGracePeriodSeconds":               onlyCluster,
	"PodSpec.nodeSelector":                                noScheduler,
	"PodSpec.nodeName":                                    noScheduler,
	"PodSpec.affinity":                                    noScheduler,
	"PodSpec.tolerations":                                 noScheduler,
	"PodSpec.schedulerName":                               noScheduler,
	"PodSpec.topologySpreadConstraints":                   noScheduler,
	"PodSpec.preemptionPolicy":                            noScheduler,
	"PodSpec.schedulingGates":                             noScheduler,
	"PodSpec.serviceAccountName":                          noAPIServer,
	"PodSpec.serviceAccount":                              noAPIServer,
	"PodSpec.automountServiceAccountToken":                noAPIServer,

	"Service.status":                  "",
	"ServiceSpec.healthCheckNodePort": "no load balancer asks which machine has endpoints, for there is one machine",
	"ServiceSpec.trafficDistribution": oneMachine,
	"EndpointAddress.nodeName":        oneMachine,
	"EndpointAddress.targetRef":       "",
	"Endpoint.targetRef":              "",
	"Endpoint.deprecatedTopology":     oneMachine,
	"Endpoint.nodeName":               oneMachine,
	"Endpoint.zone":                   oneMachine,
	"Endpoint.hints":                  oneMachine,
	"Namespace.spec":                  "",
	"Namespace.status":                "",
}

// supportOf looks a field up by the Go type that declares it.
func supportOf(owner, name string) support {
	if _, ok := implementedFields[owner+"."+name]; ok {
		return support{kind: implemented}
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
	return support{refused, notKnown}
}

// insideIgnored: types that only occur below fields without effect are walked for spelling, no more.
func insideIgnored(owner string) bool {
	switch owner {
	case "Affinity", "NodeAffinity", "PodAffinity", "PodAntiAffinity", "NodeSelector", "NodeSelectorTerm",
		"NodeSelectorRequirement", "PreferredSchedulingTerm", "PodAffinityTerm", "WeightedPodAffinityTerm", "Toleration",
		"TopologySpreadConstraint", "PodSchedulingGate", "StatefulSetPersistentVolumeClaimRetentionPolicy",
		"JobSchedulingConfiguration", "OwnerReference", "ObjectReference", "EndpointHints", "ForZone", "ForNode", "NamespaceSpec",
		"ManagedFieldsEntry":
		return true
	}
	return false
}
