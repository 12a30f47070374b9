// Package habits knows words that people bring from elsewhere: fields of docker compose and podman, and values in their short forms, with
// what is written in their place in a manifest. It is pure.
package habits

import "strings"

const (
	limits    = "write resources: {limits: {memory: 64Mi, cpu: 500m}}"
	inPod     = "it goes into the securityContext of the pod's spec"
	inOne     = "it goes into the securityContext of a container"
	aMount    = "a volume stands in the pod's spec, and the container names where it is mounted: volumeMounts: [{name: data, mountPath: /data}]"
	asInclude = "put the variables into a ConfigMap, and name it in envFrom: [{configMapRef: {name: settings}}]"
	waiting   = "nothing waits for another pod: what needs one that is not there yet ends and is started again, or an init container waits for it"
	inMemory  = "use a volume emptyDir: {medium: Memory} and a volumeMount"
)

// container are words for what a container has.
var container = map[string]string{
	"cmd":                `the image's ENTRYPOINT is replaced by command: ["sh", "-c", "..."], its CMD by args`,
	"entrypoint":         "the image's ENTRYPOINT is replaced by command, its CMD by args",
	"environment":        `variables are a list: env: [{name: A, value: "b"}]`,
	"envs":               `variables are a list: env: [{name: A, value: "b"}]`,
	"variables":          `variables are a list: env: [{name: A, value: "b"}]`,
	"envfile":            asInclude,
	"volumes":            aMount,
	"binds":              aMount,
	"mounts":             aMount,
	"restart":            "restartPolicy of the pod's spec says it: Always, OnFailure or Never",
	"capadd":             "write securityContext: {capabilities: {add: [NET_ADMIN]}}",
	"capdrop":            "write securityContext: {capabilities: {drop: [ALL]}}",
	"user":               "write securityContext: {runAsUser: 1000}, with a number",
	"readonly":           "write securityContext: {readOnlyRootFilesystem: true}",
	"securityopt":        "write seccompProfile and appArmorProfile into securityContext",
	"expose":             "write ports: [{containerPort: 80}]",
	"publish":            "write ports: [{containerPort: 80, hostPort: 8080}]",
	"networks":           "every pod has one network; pods find each other by the names of Services",
	"networkmode":        "hostNetwork: true of the pod's spec shares the machine's network",
	"net":                "hostNetwork: true of the pod's spec shares the machine's network",
	"pid":                "hostPID: true of the pod's spec shares the machine's processes",
	"ipc":                "hostIPC: true of the pod's spec shares the machine's IPC",
	"dependson":          waiting,
	"links":              "pods find each other by the names of Services; containers of one pod at localhost",
	"healthcheck":        "livenessProbe restarts the container, readinessProbe says when it can be used, startupProbe waits for its start",
	"containername":      "it is called name",
	"extrahosts":         "write hostAliases into the pod's spec",
	"dns":                "write dnsConfig into the pod's spec",
	"tmpfs":              inMemory,
	"shmsize":            inMemory + " at /dev/shm",
	"ulimits":            "a manifest has no field for it; let the command call ulimit",
	"devices":            "write a volume hostPath: {path: /dev/ttyUSB0, type: CharDevice}, and a volumeMount",
	"deploy":             "a Deployment has replicas, and a container resources",
	"memlimit":           limits,
	"memory":             limits,
	"cpus":               limits,
	"cpu":                limits,
	"logging":            "containerLogMaxSize and containerLogMaxFiles of the configuration bound logs",
	"build":              "images are not built here; import one (solopod images import) and name it in image",
	"stopsignal":         "write lifecycle: {stopSignal: SIGINT}",
	"stopgraceperiod":    "terminationGracePeriodSeconds of the pod's spec says it, as a number",
	"sysctls":            "write securityContext: {sysctls: [{name: net.core.somaxconn, value: \"1024\"}]} into the pod's spec",
	"stdinopen":          "it is called stdin",
	"secrets":            "write a volume secret: {secretName: ...} into the pod's spec, or env with valueFrom",
	"configs":            "write a volume configMap: {name: ...} into the pod's spec, or env with valueFrom",
	"labels":             "labels stand in the pod's metadata",
	"fsgroup":            inPod,
	"supplementalgroups": inPod,
}

// words are those of each type of the API, its fields without case, dashes and underscores.
var words = map[string]map[string]string{
	"Container": container,
	"PodSpec": {
		"restart":      "write restartPolicy: Always, OnFailure or Never",
		"services":     "containers are a list: containers: [{name: web, image: ...}]",
		"replicas":     "a Pod is one; a Deployment has replicas",
		"labels":       "labels stand in metadata",
		"annotations":  "annotations stand in metadata",
		"name":         "the name stands in metadata",
		"namespace":    "the namespace stands in metadata",
		"networks":     container["networks"],
		"dns":          "it is called dnsConfig",
		"extrahosts":   "it is called hostAliases",
		"networkmode":  "write hostNetwork: true to share the machine's network",
		"sysctls":      "write securityContext: {sysctls: [{name: net.core.somaxconn, value: \"1024\"}]}",
		"user":         "write securityContext: {runAsUser: 1000}, with a number",
		"volumemounts": "it goes into a container; volumes stand here",
	},
	"PodSecurityContext": {
		"privileged": inOne, "capabilities": inOne, "readonlyrootfilesystem": inOne, "allowprivilegeescalation": inOne, "procmount": inOne,
		"user": "it is called runAsUser, a number", "group": "it is called runAsGroup, a number",
	},
	"SecurityContext": {
		"fsgroup": inPod, "fsgroupchangepolicy": inPod, "supplementalgroups": inPod, "sysctls": inPod,
		"user": "it is called runAsUser, a number", "group": "it is called runAsGroup, a number",
		"capadd": "write capabilities: {add: [NET_ADMIN]}", "capdrop": "write capabilities: {drop: [ALL]}",
		"readonly": "it is called readOnlyRootFilesystem",
	},
	"ResourceRequirements": {
		"memory": "write limits: {memory: 64Mi}, or requests", "cpu": "write limits: {cpu: 500m}, or requests",
		"cpus": "write limits: {cpu: 500m}, or requests", "reservations": "it is called requests",
	},
	"ContainerPort": {
		"port": "it is called containerPort", "target": "it is called containerPort", "targetport": "it is called containerPort; targetPort is a Service's",
		"published": "it is called hostPort", "public": "it is called hostPort", "nodeport": "a Service of type NodePort has one",
	},
	"ServicePort": {
		"containerport": "it is called targetPort", "target": "it is called targetPort",
		"hostport":  "a Service of type NodePort has nodePort, and one of type LoadBalancer the port of the machine",
		"published": "it is called port",
	},
	"VolumeMount": {
		"path": "it is called mountPath", "target": "it is called mountPath", "destination": "it is called mountPath",
		"source": "what is mounted is a volume of the pod's spec, by its name", "hostpath": "what is mounted is a volume of the pod's spec, by its name",
		"emptydir": "what is mounted is a volume of the pod's spec, by its name", "configmap": "what is mounted is a volume of the pod's spec, by its name",
	},
	"Volume": {
		"path": "write hostPath: {path: /data}", "source": "write hostPath: {path: /data}", "host": "write hostPath: {path: /data}",
		"driver": "claims are directories of this machine; write persistentVolumeClaim: {claimName: data}",
		"claim":  "write persistentVolumeClaim: {claimName: data}", "pvc": "write persistentVolumeClaim: {claimName: data}",
		"claimname": "write persistentVolumeClaim: {claimName: data}", "mountpath": "a container names it in volumeMounts",
		"tmpfs": "write emptyDir: {medium: Memory}",
	},
	"SecretVolumeSource":                {"name": "it is called secretName"},
	"ConfigMapVolumeSource":             {"configmapname": "it is called name"},
	"PersistentVolumeClaimVolumeSource": {"name": "it is called claimName"},
	"EnvVar": {
		"key": "it is called name", "val": "it is called value", "secretref": "write valueFrom: {secretKeyRef: {name: ..., key: ...}}",
		"configmapref": "write valueFrom: {configMapKeyRef: {name: ..., key: ...}}",
	},
	"LifecycleHandler": {"command": `write exec: {command: ["sh", "-c", "..."]}`},
	"Probe": {
		"command": `write exec: {command: ["sh", "-c", "..."]}`,
		"http":    "it is called httpGet", "tcp": "it is called tcpSocket", "interval": "it is called periodSeconds, a number",
		"retries": "it is called failureThreshold", "startperiod": "initialDelaySeconds waits, and a startupProbe looks meanwhile",
		"test": `write exec: {command: ["wget", "-q", "http://127.0.0.1/"]}`,
	},
	"HTTPGetAction":   {"url": "write path and port", "headers": "it is called httpHeaders, a list of {name: A, value: b}"},
	"ExecAction":      {"cmd": "it is called command", "args": "all words are in command"},
	"ConfigMap":       {"stringdata": "it is called data"},
	"DeploymentSpec":  {"servicename": "it is a StatefulSet's"},
	"StatefulSetSpec": {"service": "it is called serviceName"},
}

// Field says what is written in the place of a field that its owner, a type of the API, does not have; empty where nothing is known.
func Field(owner, name string) string {
	if len(name) > 64 {
		return ""
	}
	plain := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
	if said := words[owner][plain]; said != "" {
		return said
	}
	if said := container[plain]; said != "" && owner == "PodSpec" {
		return "it is for one of the containers: " + said
	}
	return ""
}
