package kinds

const (
	asProxy     = "it needs an ingress controller; run a proxy as a pod, which finds services by their names, with hostPort or behind a Service of type LoadBalancer"
	noAPIServer = "there is no API server to talk to"
	noAdmission = "there is no API server that would ask; podSecurity and policy in the configuration say what may run"
	noMetrics   = "there is no autoscaler; set replicas to the number that should run"
	byKubelet   = "a cluster writes it itself; leave it out"
	noDRA       = "dynamic resource allocation needs a cluster; name devices by hostPath"
	aDirectory  = "claims are directories of this machine, whatever their class; use a PersistentVolumeClaim, or hostPath"
	render      = "render it where you are and put the manifests that come out of it here"
	podsMissing = "its pods do not run, as its controller is missing; write them as a Deployment, StatefulSet, DaemonSet or Job"
	asSecret    = "its controller is missing, and so is the Secret that it would make; put the Secret itself into a manifest"
	scraping    = "there is no operator that would configure Prometheus; name the addresses in Prometheus' own configuration"
	noCapacity  = "there is no quota for a namespace; write limits into the containers"
)

// groups are those of Kubernetes' own API server, of this time and of former ones.
var groups = map[string]bool{
	"": true, "apps": true, "batch": true, "autoscaling": true, "policy": true, "extensions": true,
	"admissionregistration.k8s.io": true, "apiextensions.k8s.io": true, "apiregistration.k8s.io": true, "authentication.k8s.io": true,
	"authorization.k8s.io": true, "certificates.k8s.io": true, "coordination.k8s.io": true, "discovery.k8s.io": true, "events.k8s.io": true,
	"flowcontrol.apiserver.k8s.io": true, "internal.apiserver.k8s.io": true, "networking.k8s.io": true, "node.k8s.io": true,
	"rbac.authorization.k8s.io": true, "resource.k8s.io": true, "scheduling.k8s.io": true, "settings.k8s.io": true, "storage.k8s.io": true,
	"storagemigration.k8s.io": true,
}

// served are the kinds of these groups that only a cluster serves, with what to do instead.
var served = map[string]string{
	"/ServiceAccount":         noAPIServer,
	"/PersistentVolume":       "claims are directories of this machine; use hostPath, or a PersistentVolumeClaim",
	"/Node":                   "the machine is known by itself; nodeName and nodeIP are in the configuration",
	"/Event":                  byKubelet,
	"/Binding":                "there is no scheduler; every pod of the directory runs on this machine",
	"/ComponentStatus":        byKubelet,
	"/ResourceQuota":          noCapacity,
	"/LimitRange":             "containers get no defaults from it; write requests and limits into them",
	"/PodTemplate":            "nothing is made of it; use a Pod or a Deployment",
	"apps/ControllerRevision": byKubelet,

	"autoscaling/HorizontalPodAutoscaler": noMetrics,
	"autoscaling/Scale":                   noMetrics,
	"policy/PodDisruptionBudget":          "no one evicts pods to empty this machine for another; a Deployment's strategy says how many may be away while they are replaced",
	"policy/PodSecurityPolicy":            noAdmission,
	"policy/Eviction":                     "remove the pod's manifest to end it",
	"extensions/PodSecurityPolicy":        noAdmission,
	"extensions/Ingress":                  asProxy,
	"networking.k8s.io/Ingress":           asProxy,
	"networking.k8s.io/IngressClass":      asProxy,
	"networking.k8s.io/IPAddress":         byKubelet,
	"networking.k8s.io/ServiceCIDR":       "the addresses of services are serviceCIDR in the configuration",

	"rbac.authorization.k8s.io/Role":               noAPIServer,
	"rbac.authorization.k8s.io/ClusterRole":        noAPIServer,
	"rbac.authorization.k8s.io/RoleBinding":        noAPIServer,
	"rbac.authorization.k8s.io/ClusterRoleBinding": noAPIServer,

	"storage.k8s.io/StorageClass":          aDirectory,
	"storage.k8s.io/VolumeAttributesClass": aDirectory,
	"storage.k8s.io/CSIDriver":             aDirectory,
	"storage.k8s.io/CSINode":               byKubelet,
	"storage.k8s.io/CSIStorageCapacity":    byKubelet,
	"storage.k8s.io/VolumeAttachment":      byKubelet,

	"scheduling.k8s.io/PriorityClass": "what a pod needs of it is the number: write it as priority into the pod's spec",
	"scheduling.k8s.io/Workload":      "there is no scheduler; every pod of the directory runs on this machine",
	"scheduling.k8s.io/PodGroup":      "there is no scheduler; every pod of the directory runs on this machine",

	"admissionregistration.k8s.io/MutatingWebhookConfiguration":     noAdmission,
	"admissionregistration.k8s.io/ValidatingWebhookConfiguration":   noAdmission,
	"admissionregistration.k8s.io/ValidatingAdmissionPolicy":        noAdmission,
	"admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": noAdmission,
	"admissionregistration.k8s.io/MutatingAdmissionPolicy":          noAdmission,
	"admissionregistration.k8s.io/MutatingAdmissionPolicyBinding":   noAdmission,
	"apiextensions.k8s.io/CustomResourceDefinition":                 "there is no API server that would serve a kind of one's own",
	"apiregistration.k8s.io/APIService":                             noAPIServer,
	"authentication.k8s.io/TokenReview":                             noAPIServer,
	"authentication.k8s.io/TokenRequest":                            noAPIServer,
	"authorization.k8s.io/SubjectAccessReview":                      noAPIServer,
	"authorization.k8s.io/LocalSubjectAccessReview":                 noAPIServer,
	"authorization.k8s.io/SelfSubjectAccessReview":                  noAPIServer,
	"authorization.k8s.io/SelfSubjectRulesReview":                   noAPIServer,
	"certificates.k8s.io/CertificateSigningRequest":                 noAPIServer,
	"certificates.k8s.io/ClusterTrustBundle":                        "there is no API server to ask; put certificates into a Secret or ConfigMap",
	"certificates.k8s.io/PodCertificateRequest":                     "there is no API server to ask; put certificates into a Secret or ConfigMap",
	"coordination.k8s.io/Lease":                                     noAPIServer,
	"coordination.k8s.io/LeaseCandidate":                            noAPIServer,
	"events.k8s.io/Event":                                           byKubelet,
	"flowcontrol.apiserver.k8s.io/FlowSchema":                       noAPIServer,
	"flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration":       noAPIServer,
	"internal.apiserver.k8s.io/StorageVersion":                      noAPIServer,
	"storagemigration.k8s.io/StorageVersionMigration":               noAPIServer,
	"node.k8s.io/RuntimeClass":                                      "runtimes are named by runtimeClasses in the configuration, like {gvisor: /usr/bin/runsc}",
	"settings.k8s.io/PodPreset":                                     "nothing is added to pods; write it into them",
	"resource.k8s.io/DeviceClass":                                   noDRA,
	"resource.k8s.io/DeviceTaintRule":                               noDRA,
	"resource.k8s.io/ResourceClaim":                                 noDRA,
	"resource.k8s.io/ResourceClaimTemplate":                         noDRA,
	"resource.k8s.io/ResourceSlice":                                 noDRA,
}

// others are custom resources that are seen often: group/Kind, group/ for all of a group, /Kind for those of several groups.
var others = map[string]string{
	"monitoring.coreos.com/":      scraping,
	"cert-manager.io/":            "there is no cert-manager; put certificate and key into a Secret of type kubernetes.io/tls",
	"acme.cert-manager.io/":       "there is no cert-manager; put certificate and key into a Secret of type kubernetes.io/tls",
	"bitnami.com/SealedSecret":    asSecret,
	"external-secrets.io/":        asSecret,
	"secrets-store.csi.x-k8s.io/": asSecret,
	"secrets.hashicorp.com/":      asSecret,
	"gateway.networking.k8s.io/":  asProxy,
	"traefik.io/":                 asProxy,
	"traefik.containo.us/":        asProxy,
	"projectcontour.io/":          asProxy,
	"route.openshift.io/":         asProxy,
	"networking.istio.io/":        "there is no mesh; services find each other by their names as they are",
	"argoproj.io/Rollout":         podsMissing,
	"argoproj.io/Workflow":        podsMissing,
	"argoproj.io/CronWorkflow":    podsMissing,
	"argoproj.io/Application":     render,
	"argoproj.io/ApplicationSet":  render,
	"helm.cattle.io/":             render,
	"apps.openshift.io/":          podsMissing,
	"apps.kruise.io/":             podsMissing,
	"serving.knative.dev/":        podsMissing,
	"template.openshift.io/":      "its objects are not used; " + render,
	"security.openshift.io/":      noAdmission,
	"autoscaling.k8s.io/":         "there is no autoscaler; write requests and limits into the containers",
	"keda.sh/":                    noMetrics,
	"snapshot.storage.k8s.io/":    "claims are directories of this machine, below claims in its root; copy them with what you back up the machine with",
	"k8s.cni.cncf.io/":            "networks are CNI configurations in cniConfDir",
	"metrics.k8s.io/":             byKubelet,
	"kyverno.io/":                 noAdmission,
	"constraints.gatekeeper.sh/":  noAdmission,
	"templates.gatekeeper.sh/":    noAdmission,
	"metallb.io/":                 "a Service of type LoadBalancer has the ports of this machine; there are no addresses to give out",
}

// families are groups with all groups below them.
var families = map[string]string{
	"toolkit.fluxcd.io": render,
	"cluster.x-k8s.io":  "it describes machines of a cluster; this one is as it is",
	"istio.io":          "there is no mesh; services find each other by their names as they are",
	"crossplane.io":     "no controller of it runs here; what it would make elsewhere is to be made by other means",
}
