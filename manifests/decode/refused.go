package decode

const (
	windowsOnly  = "it is for Windows; Solopod runs linux containers"
	mountIt      = "mount it on the host (/etc/fstab or a systemd mount unit) and use hostPath"
	needsDriver  = "it needs a driver of a cluster's; " + mountIt
	removedThere = "Kubernetes has removed it; " + mountIt
	noDRA        = "dynamic resource allocation needs a cluster; name devices by hostPath"
	needsCluster = "only a cluster can do this; remove it"
)

// refusedFields: Type.field -> what to do instead.
var refusedFields = flatten([]fieldRow{
	{"PodSpec", "ephemeralContainers", "ephemeral containers cannot stand in a manifest, in Kubernetes neither"},
	{"PodSpec", "readinessGates", "nobody would set the condition without an API server, and the pod would never be ready; remove it"},
	{"PodSpec", "resourceClaims", noDRA},
	{"PodSpec", "schedulingGroup evictionResponders", needsCluster},
	{"PodSecurityContext", "windowsOptions", windowsOnly},
	{"SecurityContext", "windowsOptions", windowsOnly},

	{"Container", "volumeDevices", "claims are directories of this machine; give a container a block device with hostPath"},
	{"ResourceRequirements", "claims", noDRA},

	{"DeploymentSpec", "paused", "an edit that should not take effect yet belongs into another place than the manifests directory, or: solopod rollout pause"},
	{"JobSpec", "podFailurePolicy successPolicy backoffLimitPerIndex maxFailedIndexes", "this is not implemented by this version of Solopod; use backoffLimit, or restartPolicyRules of the container"},
	{"JobSpec", "managedBy", needsCluster},
	{"PersistentVolumeClaimSpec", "selector dataSource dataSourceRef", "every claim is a directory of this machine and begins empty; fill it with an init container"},
	{"VolumeProjection", "serviceAccountToken", "there is no API server that would issue one; remove it, and set automountServiceAccountToken: false where the manifest is for clusters too"},
	{"VolumeProjection", "clusterTrustBundle podCertificate", "there is no API server to ask; put certificates into a Secret or ConfigMap"},
	{"VolumeSource", "ephemeral", "it is made from a claim; use persistentVolumeClaim or emptyDir"},
	{"VolumeSource", "nfs iscsi fc cephfs rbd glusterfs", mountIt},
	{"VolumeSource", "csi flexVolume azureDisk azureFile cinder portworxVolume vsphereVolume awsElasticBlockStore gcePersistentDisk", needsDriver},
	{"VolumeSource", "flocker photonPersistentDisk quobyte scaleIO storageos", removedThere},
	{"VolumeSource", "gitRepo", "Kubernetes has removed it; clone in an init container into an emptyDir"},
})
