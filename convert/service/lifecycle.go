package service

import (
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/solopod/solopod/convert/forms"
	"github.com/solopod/solopod/convert/tree"
)

func replicas(f Field) {
	n, ok := f.Int()
	if !ok || n < 0 || n > 1000 {
		f.Failed("%q is no number of replicas", f.Text())
		return
	}
	f.Of.Replicas = int32(n)
}

// unkeptDeploy are keys of deploy without a counterpart.
var unkeptDeploy = map[string]string{
	"placement":       "there is one machine",
	"endpoint_mode":   "the name of a service leads to its pods themselves",
	"rollback_config": "an update that does not become ready stalls, and the other pods run on; put the old manifest back",
}

func deploy(f Field) {
	for _, e := range f.Entries {
		d := f.Child(e.Key)
		switch e.Key {
		case "replicas":
			replicas(d)
		case "mode":
			f.Of.Mode = d.Text()
		case "labels":
			labels(d, f.Of.Above)
		case "resources":
			limits, reserved := d.Child("limits"), d.Child("reservations")
			for _, key := range []string{"cpus", "memory", "pids"} {
				resources(limits.Child(key), key, limit)
				resources(reserved.Child(key), key, request)
			}
			for _, device := range reserved.Child("devices").Items() {
				gpu(device)
			}
		case "restart_policy":
			restartPolicy(d)
		case "update_config":
			if d.Get("order").Text() != "start-first" {
				d.Changed("an update replaces pods one after the other, new ones first where two can be beside each other; strategy: {type: Recreate} stops them first")
			}
		default:
			if why, ok := unkeptDeploy[e.Key]; ok {
				d.Lost("%s", why)
			} else if !strings.HasPrefix(e.Key, "x-") {
				d.Failed("deploy has no such field")
			}
		}
	}
}

func resources(f Field, key string, set func(f Field, name v1.ResourceName)) {
	switch {
	case f.Kind == tree.Null:
	case key == "cpus":
		set(f, v1.ResourceCPU)
	case key == "memory":
		set(f, v1.ResourceMemory)
	default:
		f.Lost("%s", unkept["pids_limit"])
	}
}

// restart is always, unless-stopped, no, or on-failure with how often at most.
func restart(f Field) {
	f.Of.Restart = f.Text()
	switch policy, _, _ := strings.Cut(f.Text(), ":"); policy {
	case "always", "no", "false", "on-failure":
	case "unless-stopped":
		f.Of.Restart = "always"
	default:
		f.Failed("it is one of no, always, unless-stopped and on-failure")
		f.Of.Restart = "always"
	}
}

func restartPolicy(f Field) {
	switch c := f.Get("condition").Text(); c {
	case "none":
		f.Of.Restart = "no"
	case "any", "":
		f.Of.Restart = "always"
	default:
		f.Of.Restart = c
	}
	for _, key := range []string{"delay", "window", "max_attempts"} {
		if f.Get(key) != nil {
			f.Child(key).Lost("a container begins anew at once, then after 10 s, doubling to 5 minutes; only a Job gives up (backoffLimit)")
		}
	}
}

func (f Field) duration() (time.Duration, bool) {
	d, err := forms.Duration(f.Text())
	if err != nil {
		f.Failed("%v", err)
	}
	return d, err == nil
}

func stopGracePeriod(f Field) {
	if d, ok := f.duration(); ok {
		grace := int64(forms.Seconds(d, 0))
		if old := f.Of.Pod.Spec.TerminationGracePeriodSeconds; old == nil || *old < grace {
			f.Of.Pod.Spec.TerminationGracePeriodSeconds = &grace
		}
	}
}

func stopSignal(f Field) {
	name := strings.ToUpper(f.Text())
	if n, err := strconv.Atoi(name); err == nil {
		names := map[int]string{1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 9: "SIGKILL", 10: "SIGUSR1", 12: "SIGUSR2", 15: "SIGTERM"}
		if name = names[n]; name == "" {
			f.Failed("the signal %d is not known by a name; write it like SIGTERM", n)
			return
		}
	}
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	f.Of.lifecycle().StopSignal = pointer(v1.Signal(name))
	f.Of.Pod.Spec.OS = &v1.PodOS{Name: v1.Linux} // a signal needs it
}

func (s *Service) lifecycle() *v1.Lifecycle {
	if s.Container.Lifecycle == nil {
		s.Container.Lifecycle = &v1.Lifecycle{}
	}
	return s.Container.Lifecycle
}

// hook is post_start or pre_stop.
func hook(f Field, start bool) {
	for i, item := range f.Items() {
		if i > 0 {
			item.Lost("a container has one such hook; put the commands into one")
			continue
		}
		command := item.Child("command")
		w := command.Texts() // nothing is filled in there
		if command.Kind == tree.Scalar {
			w = []string{"/bin/sh", "-c", command.Text()}
		}
		if len(w) == 0 {
			continue
		}
		for _, key := range []string{"user", "privileged", "working_dir", "environment"} {
			if item.Get(key) != nil {
				item.Child(key).Lost("a hook runs as the container does")
			}
		}
		h := &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: w}}
		if start {
			f.Of.lifecycle().PostStart = h
		} else {
			f.Of.lifecycle().PreStop = h
		}
	}
}

func initProcess(f Field) {
	if f.Bool() && !f.Of.Pod.Spec.HostPID {
		f.Of.Pod.Spec.ShareProcessNamespace = pointer(true)
		f.Changed("shareProcessNamespace gives the pod a first process that reaps others")
	}
}

// healthcheck becomes a readiness probe: Docker restarts nothing for it either.
func healthcheck(f Field) {
	test := f.Get("test")
	list := test.Texts()
	if f.Get("disable").Bool() || len(list) > 0 && list[0] == "NONE" {
		return
	}
	t := f.Child("test")
	var command []string
	switch {
	case test == nil:
		f.Todo("the image's own check is not known to manifests; write its command into the readinessProbe")
		return
	case test.Kind == tree.Scalar:
		command = []string{"/bin/sh", "-c", forms.Literal(test.Text())}
	case len(list) > 1 && list[0] == "CMD":
		command = forms.Literals(list[1:])
	case len(list) == 2 && list[0] == "CMD-SHELL":
		command = []string{"/bin/sh", "-c", forms.Literal(list[1])}
	default:
		t.Failed("it is a text, or a list that begins with CMD, CMD-SHELL or NONE")
		return
	}
	p := &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: command}}, PeriodSeconds: 30, TimeoutSeconds: 30, FailureThreshold: 3}
	for _, e := range f.Entries {
		v := f.Child(e.Key)
		switch e.Key {
		case "interval", "timeout":
			d, ok := v.duration()
			if !ok {
				continue
			}
			if e.Key == "interval" {
				p.PeriodSeconds = forms.Seconds(d, 1)
			} else {
				p.TimeoutSeconds = forms.Seconds(d, 1)
			}
			if d%time.Second != 0 {
				v.Changed("probes count in whole seconds")
			}
		case "retries":
			if n, ok := v.Int(); ok && n > 0 && n < 1<<31 {
				p.FailureThreshold = int32(n)
			}
		case "start_period":
			v.Changed("left out: a pod that is not ready yet is not restarted for it")
		case "start_interval":
			if d, ok := v.duration(); ok && forms.Seconds(d, 1) < p.PeriodSeconds {
				v.Changed("left out: a probe has one interval (periodSeconds)")
			}
		}
	}
	f.Of.Container.ReadinessProbe = p
	f.Once("healthcheck", f.Changed, "a healthcheck is a readinessProbe: what fails it gets no new connections, and is not restarted; a livenessProbe beside it would restart it")
}

func dependsOn(f Field) {
	if f.Kind != tree.Map {
		f.Failed("it is a list of services, or a map of them")
		return
	}
	for _, e := range f.Entries {
		n := Need{Field{e.Value, f.Of, f.Path + "." + e.Key}, e.Key, e.Value.Get("condition").Text()}
		if n.Condition == "" {
			n.Condition = "service_started"
		}
		other := f.Of.Project.ByName[e.Key]
		switch {
		case other == nil:
			if r := e.Value.Get("required"); r == nil || r.Bool() {
				n.Todo("the service %s does not exist, or was left out", e.Key)
			}
			continue
		case n.Condition == "service_started":
			f.Once("started/"+f.Of.Name, f.Changed, "left out: pods start at once; who cannot do without another one yet ends, and is started again")
			continue
		case n.Condition == "service_healthy":
			other.WaitedFor = other.WaitedFor || other.Pod != f.Of.Pod
		case n.Condition == "service_completed_successfully":
			other.First = true
		default:
			n.Failed("the condition %q is not known", n.Condition)
			continue
		}
		if n.Get("restart").Bool() {
			n.Child("restart").Lost("a pod is not restarted with another one")
		}
		f.Of.Needs = append(f.Of.Needs, n)
	}
}
