package service

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/convert/forms"
	"github.com/solopod/solopod/convert/tree"
	"github.com/solopod/solopod/manifests/spelling"
)

// fields says what is made of each key of a service: one row each.
var fields = map[string]func(f Field){}

func init() { // its functions read the map
	maps.Copy(fields, map[string]func(f Field){
		"image":       func(f Field) { f.Of.Container.Image = strings.TrimPrefix(f.Text(), "docker://") },
		"command":     command,
		"entrypoint":  entrypoint,
		"environment": environment,
		"env_file":    envFile,
		"working_dir": func(f Field) { f.Of.Container.WorkingDir = f.Text() },
		"stdin_open":  func(f Field) { f.Of.Container.Stdin = f.Bool() },
		"tty":         func(f Field) { f.Of.Container.TTY = f.Bool() },
		"pull_policy": pullPolicy,
		"build":       func(Field) {}, // with the image, at the end
		"profiles":    func(Field) {}, // who is wanted was decided before
		"labels":      func(f Field) { labels(f, f.Of.Annotations) },
		"annotations": func(f Field) { labels(f, f.Of.Annotations) },
		"depends_on":  dependsOn,
		"healthcheck": healthcheck,

		"restart":           restart,
		"deploy":            deploy,
		"scale":             replicas,
		"stop_grace_period": stopGracePeriod,
		"stop_signal":       stopSignal,
		"post_start":        func(f Field) { hook(f, true) },
		"pre_stop":          func(f Field) { hook(f, false) },
		"init":              initProcess,

		"container_name": func(f Field) { f.Of.alias(f, f.Text()) },
		"hostname":       hostname,
		"domainname":     func(f Field) { f.Lost("a pod's domain is that of its Service; use setHostnameAsFQDN and subdomain") },
		"ports":          portsOf,
		"expose":         expose,
		"networks":       networks,
		"network_mode":   networkMode,
		"links":          links,
		"extra_hosts":    extraHosts,
		"dns":            dns,
		"dns_search":     dns,
		"dns_opt":        dns,

		"volumes":      volumes,
		"volumes_from": func(Field) {}, // when all services have their volumes
		"tmpfs":        tmpfs,
		"shm_size":     shmSize,
		"secrets":      secretsOf,
		"configs":      configsOf,
		"devices":      devices,

		"user":         user,
		"group_add":    groupAdd,
		"cap_add":      func(f Field) { capabilities(f, &securityOf(f.Of).Add) },
		"cap_drop":     func(f Field) { capabilities(f, &securityOf(f.Of).Drop) },
		"privileged":   func(f Field) { f.Of.security().Privileged = pointer(f.Bool()) },
		"read_only":    func(f Field) { f.Of.security().ReadOnlyRootFilesystem = pointer(f.Bool()) },
		"security_opt": securityOpt,
		"sysctls":      sysctls,
		"pid":          func(f Field) { hostNamespace(f, &f.Of.Pod.Spec.HostPID) },
		"ipc":          func(f Field) { hostNamespace(f, &f.Of.Pod.Spec.HostIPC) },
		"userns_mode":  usernsMode,

		"cpus":            func(f Field) { limit(f, v1.ResourceCPU) },
		"mem_limit":       func(f Field) { limit(f, v1.ResourceMemory) },
		"mem_reservation": func(f Field) { request(f, v1.ResourceMemory) },
		"cpu_shares":      cpuShares,
		"cpu_count":       func(f Field) { limit(f, v1.ResourceCPU) },
		"cpu_quota":       cpuQuota,
		"cpu_period":      func(Field) {}, // with cpu_quota
		"gpus":            gpus,
		"runtime":         runtimeClass,
		"platform":        platform,
	})
}

// unkept are keys that are known and have no counterpart, with what to do.
var unkept = map[string]string{
	"logging":             "output goes to files below /var/log/pods, and solopod logs shows it; containerLogMaxSize and containerLogMaxFiles of the configuration bound it",
	"ulimits":             "a pod has no such limits: containers have those of the daemon; set them in its systemd unit (LimitNOFILE=), or begin the command with ulimit",
	"pids_limit":          "podPidsLimit of the configuration bounds the processes of each pod",
	"memswap_limit":       "swap is not bounded by manifests",
	"mem_swappiness":      "swap is not bounded by manifests",
	"oom_kill_disable":    "who exceeds a memory limit is killed; set a limit that is large enough",
	"oom_score_adj":       "it follows from the pod's resources, as with a kubelet: with limits that equal its requests a pod is killed last",
	"cpuset":              "containers run on all CPUs; set a limit of CPU",
	"cpu_percent":         "set a limit of CPU",
	"cpu_rt_runtime":      "manifests have no real-time scheduling",
	"cpu_rt_period":       "manifests have no real-time scheduling",
	"blkio_config":        "manifests do not bound the use of disks",
	"storage_opt":         "set limits of ephemeral-storage",
	"cgroup":              "a container has a cgroup namespace of its own",
	"cgroup_parent":       "cgroups of pods follow from their QoS class",
	"device_cgroup_rules": "a container may open the devices that it mounts; name them, or make it privileged",
	"mac_address":         "it is given by the network; a CNI configuration can set one",
	"external_links":      "name the other one's Service, as NAME.NAMESPACE where it is in another namespace",
	"isolation":           "it is for Windows",
	"credential_spec":     "it is for Windows",
	"attach":              "solopod logs -f follows a container's output",
	"develop":             "docker compose watch has no counterpart; an edit of a manifest replaces its containers",
	"provider":            "what Docker has others provide must run in a service, or elsewhere",
	"models":              "language models are run by Docker alone; run a server of models as a service",
	"use_api_socket":      "there is no Docker on the machine",
	"label_file":          "write the labels into the manifest's annotations",
	"uts":                 "a pod has a host name of its own; hostNetwork gives it that of the machine",
	"extends":             "it was not found",
}

func didYouMean(key string) string {
	if near := spelling.Nearest(key, slices.Concat(slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(unkept)))); near != "" {
		return "; did you mean " + strconv.Quote(near) + "?"
	}
	return ""
}

// argv is a command: a list, or one text that is split as a shell does.
func argv(f Field) ([]string, bool) {
	if f.Kind != tree.Scalar {
		return forms.Literals(f.Texts()), true
	}
	w, err := forms.Words(f.Text())
	if err != nil {
		f.Failed("%v", err)
		return nil, false
	}
	return forms.Literals(w), true
}

func command(f Field) {
	if f.Kind != tree.Null {
		f.Of.Container.Args, _ = argv(f)
	}
}

func entrypoint(f Field) {
	if f.Kind == tree.Null {
		return
	}
	w, ok := argv(f)
	if ok && len(w) == 0 {
		f.Todo("a manifest cannot do without the image's entrypoint; write what it is to run into command")
	}
	f.Of.Container.Command = w
}

func environment(f Field) {
	if f.Kind != tree.Map {
		f.Failed("it is a map, or a list of NAME=value")
		return
	}
	for _, e := range f.Entries {
		v := Field{e.Value, f.Of, f.Path + "." + e.Key}
		value := v.Text()
		if v.Kind == tree.Null {
			v.Place = e.Place
			var set bool
			if value, set = f.Of.Project.Lookup(e.Key); !set {
				v.Lost("it would be taken from the environment, where it is not set; give it a value")
				continue
			}
			v.Changed("its value is that of the environment, now")
		}
		if e.Key == "" || len(validation.IsRelaxedEnvVarName(e.Key)) > 0 {
			v.Lost("%q cannot be the name of a variable in a manifest", e.Key)
			continue
		}
		f.Of.Container.Env = append(f.Of.Container.Env, v1.EnvVar{Name: e.Key, Value: forms.Literal(value)})
	}
}

func pullPolicy(f Field) {
	switch f.Text() {
	case "always":
		f.Of.Container.ImagePullPolicy = v1.PullAlways
	case "never":
		f.Of.Container.ImagePullPolicy = v1.PullNever
	case "missing", "if_not_present":
		f.Of.Container.ImagePullPolicy = v1.PullIfNotPresent
	case "build":
	default:
		f.Lost("images are pulled always, never, or when they are missing; it is when they are missing")
		f.Of.Container.ImagePullPolicy = v1.PullIfNotPresent
	}
}

// labels keeps labels as annotations, which may hold any text.
func labels(f Field, in map[string]string) {
	kept := 0
	for _, e := range f.Entries {
		if len(validation.IsQualifiedName(strings.ToLower(e.Key))) > 0 {
			Field{e.Value, f.Of, f.Path + "." + e.Key}.Lost("this cannot be the key of an annotation")
			continue
		}
		in[e.Key] = e.Value.Text()
		kept++
	}
	if kept > 0 && strings.HasSuffix(f.Path, "labels") {
		f.Changed("they are annotations, which may hold any text; nothing here reads Docker's labels: a proxy that is set up by them needs a configuration of its own")
	}
}
