package manifests

// OOMGroupAnnotation on a pod says whether a container ends as a whole when one of its processes is killed for memory:
// "true" or "false". It has an effect with cgroup v2.
const OOMGroupAnnotation = "solopod.io/oom-group"

// RestartOnChangeAnnotation on a pod has containers restarted when a ConfigMap or Secret changes: RestartOnEnvironment those whose
// environment comes from it, RestartOnAnyChange those that mount it as well.
const (
	RestartOnChangeAnnotation = "solopod.io/restart-on-change"
	RestartOnEnvironment      = "environment"
	RestartOnAnyChange        = "all"
)

// VersionAnnotation on an object of a file is the file's version, a whole number: of signed manifests no version is used that is
// older than one that the box has had of the same object. All objects of a file that have the annotation have the same.
const VersionAnnotation = "solopod.io/version"

// FileAnnotation on an object, as it is shown, names the manifest file that it comes from.
const FileAnnotation = "solopod.io/manifest"

// OwnerAnnotation on a pod names the object that it stands for: deployment/web, job/backup. Solopod alone gives it: what a Pod in a
// manifest says there does not count.
const OwnerAnnotation = "solopod.io/owner"

// SurgeAnnotation marks a pod that is there beside those of its object's replicas while these are replaced. Solopod alone gives it.
const SurgeAnnotation = "solopod.io/surge"

// RestartedAnnotation is kubectl's: when the pods of a Deployment or the like were asked to begin anew. A template with another one is
// another version.
const RestartedAnnotation = "kubectl.kubernetes.io/restartedAt"

// HeldAnnotation on an object, as it is shown, says why what runs of it is not what its manifest says, as RolledBack: and a sentence.
// Solopod alone gives it.
const HeldAnnotation = "solopod.io/held"
