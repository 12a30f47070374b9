package manifests

import "strings"

// implementedFields names the fields that do what the kubelet does with them, and the test that shows it. Single values of
// an implemented field can still be refused, in validate*.go.
var implementedFields = flatten([]implementedRow{
	{"TypeMeta", "apiVersion kind", "TestGolden"},
	{"Pod", "metadata spec", "TestLifecycle"},
	{"ObjectMeta", "name namespace uid labels annotations", "TestLifecycle"},

	{"PodSpec", "containers", "TestLifecycle"},
	{"PodSpec", "restartPolicy", "TestRestartPolicies"},
	{"PodSpec", "terminationGracePeriodSeconds", "TestTermination"},
	{"PodSpec", "initContainers activeDeadlineSeconds", "TestInitContainers"},
	{"PodSpec", "volumes", "TestContainer"},
	{"PodSpec", "dnsPolicy dnsConfig hostname hostNetwork", "TestContainer"},
	{"PodSpec", "securityContext", "TestContainer"},
	{"PodSpec", "priorityClassName priority", "TestDrain"},
	{"PodSpec", "os", "TestGolden"},
	{"PodOS", "name", "TestGolden"},
	{"PodDNSConfig", "nameservers searches options", "TestContainer"},
	{"PodDNSConfigOption", "name value", "TestContainer"},
	{"PodSpec", "hostAliases hostnameOverride setHostnameAsFQDN subdomain", "TestNames"},
	{"HostAlias", "ip hostnames", "TestNames"},
	{"HTTPGetAction", "protocol", "TestHTTP2"},
	{"GRPCAction", "mode", "TestGRPCOverTLS"},
	{"PodSecurityContext", "runAsUser runAsGroup seccompProfile", "TestContainer"},

	{"Container", "name image command args workingDir env volumeMounts securityContext", "TestContainer"},
	{"Container", "imagePullPolicy", "TestImagePolicy"},
	{"Container", "ports", "TestBridge"},
	{"Container", "resources", "TestResources"},
	{"Container", "livenessProbe readinessProbe startupProbe", "TestProbes"},
	{"Container", "terminationMessagePath terminationMessagePolicy", "TestTerminationMessage"},
	{"Container", "stdin stdinOnce tty", "TestContainer"},
	{"Container", "lifecycle", "TestHooks"},
	{"Container", "restartPolicy restartPolicyRules", "TestContainerRestartPolicy"},
	{"ContainerPort", "name hostPort containerPort protocol hostIP", "TestBridge"},
	{"ContainerRestartRule", "action exitCodes", "TestContainerRestartPolicy"},
	{"ContainerRestartRuleOnExitCodes", "operator values", "TestContainerRestartPolicy"},
	{"EnvVar", "name value", "TestContainer"},
	{"Container", "envFrom", "TestReferences"},
	{"EnvVar", "valueFrom", "TestReferences"},
	{"EnvVarSource", "fieldRef resourceFieldRef configMapKeyRef secretKeyRef fileKeyRef", "TestReferences"},
	{"EnvFromSource", "prefix configMapRef secretRef", "TestReferences"},
	{"ConfigMapEnvSource", "optional", "TestReferences"},
	{"SecretEnvSource", "optional", "TestReferences"},
	{"ConfigMapKeySelector", "key optional", "TestReferences"},
	{"SecretKeySelector", "key optional", "TestReferences"},
	{"FileKeySelector", "volumeName path key optional", "TestReferences"},
	{"ObjectFieldSelector", "apiVersion fieldPath", "TestReferences"},
	{"ResourceFieldSelector", "containerName resource divisor", "TestReferences"},
	{"LocalObjectReference", "name", "TestReferences"},
	{"PodSpec", "imagePullSecrets", "TestImagePullSecrets"},
	{"ResourceRequirements", "limits requests", "TestResources"},
	{"Container", "resizePolicy", "TestResize"},
	{"ContainerResizePolicy", "resourceName restartPolicy", "TestResize"},
	{"PodSpec", "resources", "TestPodResources"},
	{"PodSpec", "runtimeClassName overhead", "TestRuntimeClass"},
	{"Lifecycle", "postStart preStop stopSignal", "TestHooks"},
	{"LifecycleHandler", "exec httpGet tcpSocket sleep", "TestHooks"},
	{"SleepAction", "seconds", "TestHooks"},
	{"Probe", "initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold", "TestProbes"},
	{"Probe", "terminationGracePeriodSeconds", "TestHooks"},
	{"ProbeHandler", "exec httpGet tcpSocket grpc", "TestProbes"},
	{"ExecAction", "command", "TestProbes"},
	{"HTTPGetAction", "path port host scheme httpHeaders", "TestProbes"},
	{"HTTPHeader", "name value", "TestProbes"},
	{"TCPSocketAction", "port host", "TestProbes"},
	{"GRPCAction", "port service", "TestProbes"},

	{"VolumeMount", "name readOnly mountPath", "TestContainer"},
	{"VolumeMount", "subPath subPathExpr", "TestSubPath"},
	{"VolumeMount", "recursiveReadOnly mountPropagation bindMountOptions", "TestMountOptions"},
	{"Volume", "name", "TestContainer"},
	{"VolumeSource", "hostPath emptyDir", "TestContainer"},
	{"VolumeSource", "configMap secret downwardAPI projected", "TestFilledVolumes"},
	{"VolumeSource", "image", "TestImageVolume"},
	{"VolumeSource", "persistentVolumeClaim", "TestClaims"},
	{"PersistentVolumeClaimVolumeSource", "claimName readOnly", "TestClaims"},
	{"ImageVolumeSource", "reference pullPolicy", "TestImageVolume"},
	{"ConfigMapVolumeSource", "items defaultMode defaultUser optional", "TestFilledVolumes"},
	{"SecretVolumeSource", "secretName items defaultMode defaultUser optional", "TestFilledVolumes"},
	{"DownwardAPIVolumeSource", "items defaultMode defaultUser", "TestFilledVolumes"},
	{"DownwardAPIVolumeFile", "path fieldRef resourceFieldRef mode user", "TestFilledVolumes"},
	{"KeyToPath", "key path mode user", "TestFilledVolumes"},
	{"ProjectedVolumeSource", "sources defaultMode defaultUser", "TestFilledVolumes"},
	{"VolumeProjection", "configMap secret downwardAPI", "TestFilledVolumes"},
	{"ConfigMapProjection", "items optional", "TestFilledVolumes"},
	{"SecretProjection", "items optional", "TestFilledVolumes"},
	{"DownwardAPIProjection", "items", "TestFilledVolumes"},
	{"EmptyDirVolumeSource", "mode", "TestEmptyDir"},

	{"ConfigMap", "metadata data binaryData immutable", "TestFilledVolumes"},
	{"Secret", "metadata data stringData immutable", "TestFilledVolumes"},
	{"Secret", "type", "TestImagePullSecrets"},
	{"PersistentVolumeClaim", "metadata spec", "TestClaims"},
	{"PersistentVolumeClaimSpec", "resources storageClassName", "TestClaims"},
	{"VolumeResourceRequirements", "requests", "TestClaims"},
	{"PodSecurityContext", "fsGroup fsGroupChangePolicy", "TestFSGroup"},
	{"HostPathVolumeSource", "path type", "TestContainer"},
	{"EmptyDirVolumeSource", "medium sizeLimit", "TestContainer"},

	{"SecurityContext", "capabilities privileged runAsUser runAsGroup readOnlyRootFilesystem allowPrivilegeEscalation seccompProfile procMount", "TestContainer"},
	{"SecurityContext", "runAsNonRoot appArmorProfile", "TestSecurity"},
	{"PodSecurityContext", "runAsNonRoot supplementalGroups supplementalGroupsPolicy appArmorProfile sysctls", "TestSecurity"},
	{"Capabilities", "add drop", "TestContainer"},
	{"SeccompProfile", "type localhostProfile", "TestSecurity"},
	{"AppArmorProfile", "type localhostProfile", "TestSecurity"},
	{"Sysctl", "name value", "TestSecurity"},
	{"PodSpec", "hostPID hostIPC shareProcessNamespace", "TestSharedNamespaces"},
	{"PodSpec", "hostUsers", "TestProblems"},
})

// implementedRow: fields of the type owner, and the name of a test in test/e2e or beside the code.
type implementedRow struct{ owner, fields, test string }

// flatten makes "Type.field" -> test of the rows.
func flatten(rows []implementedRow) map[string]string {
	out := map[string]string{}
	for _, r := range rows {
		for _, f := range strings.Fields(r.fields) {
			out[r.owner+"."+f] = r.test
		}
	}
	return out
}
