package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// Mounts of the one volume that most behaviours have.
const (
	mountedAt = "volumeMounts: [{name: v, mountPath: /v}]"
	readOnly  = "volumeMounts: [{name: v, mountPath: /v, readOnly: true}]"
)

// volume is the spec of a pod with one volume.
func volume(source string) string { return "volumes: [{name: v, " + source + "}]" }

// projected is the spec of a pod with one projected volume.
func projected(rest string, sources ...string) string {
	return volume("projected: {" + rest + "sources: [" + strings.Join(sources, ", ") + "]}")
}

// projections are the behaviours that ConfigMaps and Secrets share, as volumes of their own and as sources of a projected one.
func projections() []behaviour {
	var out []behaviour
	for _, kind := range []struct {
		name, field, reference string
		object                 func(name, data string) string
		mode                   string
	}{
		{"ConfigMap", "configMap", "name: ", configMap, "644"},
		{"Secret", "secret", "secretName: ", secret, "644"},
	} {
		data := kind.object("@pod", "{data-1: value-1, data-2: value-2}")
		for _, form := range []struct {
			name string
			spec func(rest, options string) string
		}{
			{"a " + kind.name, func(rest, options string) string {
				return volume(kind.field + ": {" + kind.reference + "@pod" + rest + options + "}")
			}},
			{"a projected " + kind.name, func(rest, options string) string {
				return projected(strings.TrimPrefix(options+", ", ", "), kind.field+": {name: @pod"+rest+"}")
			}},
		} {
			add := func(name string, v behaviour) {
				v.name = form.name + " " + name
				if v.main == "" {
					v.main = mountedAt
				}
				out = append(out, v)
			}
			item := ", items: [{key: data-2, path: dir/other}]"
			add("is a directory of files", behaviour{objects: data, spec: form.spec("", ""), script: "ls /v; cat /v/data-1; echo", log: "data-1\ndata-2\nvalue-1\n"})
			add("has files of mode 0644 of root", behaviour{objects: data, spec: form.spec("", ""), script: "stat -L -c '%a %u %g' /v/data-1", log: kind.mode + " 0 0\n"})
			add("has files of its default mode", behaviour{objects: data, spec: form.spec("", ", defaultMode: 0400"), script: "stat -L -c %a /v/data-1", log: "400\n"})
			add("shows named keys alone, at their paths", behaviour{objects: data, spec: form.spec(item, ""), script: "ls /v; cat /v/dir/other; echo", log: "dir\nvalue-2\n"})
			add("has an item with a mode of its own", behaviour{objects: data, spec: form.spec(strings.Replace(item, "}]", ", mode: 0440}]", 1), ""), script: "stat -L -c %a /v/dir/other", log: "440\n"})
			add("belongs to fsGroup, which can read it", behaviour{objects: data, spec: form.spec("", ", defaultMode: 0440") + "\nsecurityContext: {runAsUser: 1000, fsGroup: 1001}", script: "stat -L -c '%a %g' /v/data-1; cat /v/data-1; echo", log: "440 1001\nvalue-1\n"})
			add("can be read by any user", behaviour{objects: data, spec: form.spec("", "") + "\nsecurityContext: {runAsUser: 1000}", script: "cat /v/data-1; echo", log: "value-1\n"})
			add("cannot be written", behaviour{objects: data, spec: form.spec("", ""), script: "echo x >/v/data-1", log: "/bin/sh: can't create /v/data-1: Read-only file system\n", code: 1})
			add("that is optional and does not exist is empty", behaviour{spec: form.spec(", optional: true", ""), script: "ls -A /v | grep -v '^[.][.]'; echo end", log: "end\n"})
			add("that does not exist keeps the pod waiting until it comes", behaviour{spec: form.spec("", ""), script: "cat /v/data-1; echo", log: "value-1\n", check: func(c *trial) {
				p := c.wait("told what is missing", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, c.pod) })
				c.equal("the phase", p.Status.Phase, v1.PodPending)
				c.equal("the container's reason", status(p, "main").State.Waiting.Reason, "ContainerCreating")
				c.write(c.pod+"-objects.yaml", data)
				c.runsOnce()
			}})
			add("whose named key does not exist keeps the pod waiting", behaviour{objects: data, spec: form.spec(strings.Replace(item, "data-2", "data-3", 1), ""), script: "true", check: func(c *trial) {
				c.wait("told which key is missing", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, "data-3") })
				c.stays(1e9, "pending", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodPending })
			}})
			add("shows changed, new and removed keys while the container runs", behaviour{objects: data, spec: form.spec("", "") + "\nrestartPolicy: Always", script: forever, check: func(c *trial) {
				c.ready()
				c.write(c.pod+"-objects.yaml", kind.object("@pod", "{data-1: changed, data-3: new}"))
				c.until("the files have changed", func() error {
					if got := c.sh("cd /v; for f in *; do echo -n \"$f=$(cat $f) \"; done"); got != "data-1=changed data-3=new " {
						return fmt.Errorf("%q", got)
					}
					return nil
				})
				c.equal("the restarts", status(c.ready(), "main").RestartCount, int32(0))
			}})
			add("can be mounted twice in a pod", behaviour{objects: data, spec: form.spec("", "") + "\n", main: "volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /w}]", script: "cat /v/data-1 /w/data-2; echo", log: "value-1value-2\n"})
		}
	}
	return out
}

// filledVolumes are volumes that are filled from the pod and from what lies beside it.
var filledVolumes = area{name: "filled volumes", behaviours: append(projections(), []behaviour{
	{name: "a ConfigMap's binary data is kept byte for byte", objects: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: @pod}\nbinaryData: {b: 3q2+AP8=}\n", spec: volume("configMap: {name: @pod}"), main: mountedAt,
		script: "xxd -p /v/b", log: "deadbe00ff\n"},
	{name: "a Secret lies in memory", objects: secret("@pod", "{k: v}"), spec: volume("secret: {secretName: @pod}"), main: mountedAt, script: "stat -f -c %T /v", log: "tmpfs\n"},
	{name: "one ConfigMap in two volumes of a pod", objects: configMap("@pod", "{k: v}"), spec: "volumes: [{name: v, configMap: {name: @pod}}, {name: w, configMap: {name: @pod, items: [{key: k, path: other}]}}]",
		main: "volumeMounts: [{name: v, mountPath: /v}, {name: w, mountPath: /w}]", script: "cat /v/k /w/other; echo", log: "vv\n"},
	{name: "a Secret of another namespace is not seen", objects: "apiVersion: v1\nkind: Secret\nmetadata: {name: @pod, namespace: elsewhere}\nstringData: {k: v}\n", spec: volume("secret: {secretName: @pod}"), main: mountedAt, script: "true",
		check: func(c *trial) {
			c.wait("told what is missing", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, c.pod) })
			c.stays(1e9, "pending", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodPending })
		}},
	{name: "Secrets of one name in two namespaces are two", objects: "apiVersion: v1\nkind: Secret\nmetadata: {name: @pod, namespace: elsewhere}\nstringData: {k: theirs}\n---\n" + secret("@pod", "{k: ours}"),
		spec: volume("secret: {secretName: @pod}"), main: mountedAt, script: "cat /v/k; echo", log: "ours\n"},
	{name: "an immutable ConfigMap can be used, and not changed", objects: configMap("@pod", "{k: old}") + "immutable: true\n", spec: volume("configMap: {name: @pod}") + "\nrestartPolicy: Always", main: mountedAt, script: forever,
		check: func(c *trial) {
			c.ready()
			c.write(c.pod+"-objects.yaml", configMap("@pod", "{k: new}")+"immutable: true\n")
			c.until("the change is refused", func() error {
				if !strings.Contains(c.get("/manifests"), "is immutable") {
					return fmt.Errorf("no such problem")
				}
				return nil
			})
			c.equal("the file", c.sh("cat /v/k"), "old")
		}},
	{name: "a file mounted by subPath does not follow its ConfigMap", objects: configMap("@pod", "{k: old}"), spec: volume("configMap: {name: @pod}") + "\nrestartPolicy: Always", main: "volumeMounts: [{name: v, mountPath: /file, subPath: k}, {name: v, mountPath: /v}]", script: forever,
		check: func(c *trial) {
			c.ready()
			c.write(c.pod+"-objects.yaml", configMap("@pod", "{k: new}"))
			c.until("the volume has changed", func() error {
				if got := c.sh("cat /v/k"); got != "new" {
					return fmt.Errorf("%q", got)
				}
				return nil
			})
			c.equal("the single file", c.sh("cat /file"), "old")
		}},
	{name: "all changes of a volume show at once", objects: configMap("@pod", "{a: '0', b: '0'}"), spec: volume("configMap: {name: @pod}"), main: mountedAt,
		script: "while cd -P /v/..data; do a=$(cat a) && b=$(cat b) || continue; [ $a = $b ] || exit 1; [ $a = 5 ] && exit 0; done 2>/dev/null",
		check: func(c *trial) {
			c.wait("running", func(p *v1.Pod) bool { return status(p, "main").State.Running != nil })
			for i := 1; i <= 5; i++ {
				c.write(c.pod+"-objects.yaml", configMap("@pod", fmt.Sprintf("{a: '%d', b: '%d'}", i, i)))
				c.until("the change shows", func() error {
					if got, code := c.exec("main", "cat", "/v/a"); code == 0 && got != fmt.Sprint(i) {
						return fmt.Errorf("%q", got)
					}
					return nil // or it has ended
				})
			}
			c.equal("the exit code", c.ended().ExitCode, int32(0))
		}},

	{name: "the pod's name in a file", spec: volume("downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}"), main: mountedAt, script: "cat /v/name; echo", log: "@pod\n"},
	{name: "namespace and uid in files", meta: "uid: 11111111-2222-3333-4444-666666666666", spec: volume("downwardAPI: {items: [{path: a, fieldRef: {fieldPath: metadata.namespace}}, {path: b, fieldRef: {fieldPath: metadata.uid}}]}"), main: mountedAt,
		script: "cat /v/a; echo; cat /v/b; echo", log: "default\n11111111-2222-3333-4444-666666666666\n"},
	{name: "labels and annotations in files, sorted and quoted", meta: "labels: {b: two, a: one}\nannotations: {note: 'with \"quotes\"', other: x}", spec: volume("downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}, {path: a, fieldRef: {fieldPath: metadata.annotations}}]}"), main: mountedAt,
		script: "cat /v/l; echo; grep -E '^(note|other)=' /v/a; echo", log: "a=\"one\"\nb=\"two\"\nnote=\"with \\\"quotes\\\"\"\nother=\"x\"\n\n"},
	{name: "one label and one annotation in files", meta: "labels: {a: one}\nannotations: {note: text}", spec: volume(`downwardAPI: {items: [{path: l, fieldRef: {fieldPath: "metadata.labels['a']"}}, {path: 'n', fieldRef: {fieldPath: "metadata.annotations['note']"}}]}`), main: mountedAt,
		script: "cat /v/l; echo; cat /v/n; echo", log: "one\ntext\n"},
	{name: "files of the downward API have their default mode", spec: volume("downwardAPI: {defaultMode: 0400, items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}"), main: mountedAt, script: "stat -L -c %a /v/name", log: "400\n"},
	{name: "a file of the downward API has a mode of its own", spec: volume("downwardAPI: {defaultMode: 0400, items: [{path: name, mode: 0444, fieldRef: {fieldPath: metadata.name}}]}"), main: mountedAt, script: "stat -L -c %a /v/name", log: "444\n"},
	{name: "files of the downward API belong to fsGroup", spec: volume("downwardAPI: {defaultMode: 0440, items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}") + "\nsecurityContext: {runAsUser: 1001, fsGroup: 1234}", main: mountedAt,
		script: "stat -L -c '%a %g' /v/name; cat /v/name; echo", log: "440 1234\n@pod\n"},
	{name: "changed labels show in their file", meta: "labels: {a: one}", spec: volume("downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}]}") + "\nrestartPolicy: Always", main: mountedAt, script: forever,
		check: func(c *trial) { c.changesMeta("labels: {a: one, b: two}", "cat /v/l", "a=\"one\"\nb=\"two\"") }},
	{name: "changed annotations show in their file", meta: "annotations: {builder: bar}", spec: volume(`downwardAPI: {items: [{path: l, fieldRef: {fieldPath: "metadata.annotations['builder']"}}]}`) + "\nrestartPolicy: Always", main: mountedAt, script: forever,
		check: func(c *trial) { c.changesMeta("annotations: {builder: foo}", "cat /v/l", "foo") }},
	{name: "a projected volume shows changed labels", meta: "labels: {a: one}", spec: projected("", "downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}]}") + "\nrestartPolicy: Always", main: mountedAt, script: forever,
		check: func(c *trial) { c.changesMeta("labels: {a: two}", "cat /v/l", "a=\"two\"") }},
	{name: "a container's limits and requests in files", spec: volume("downwardAPI: {items: [{path: a, resourceFieldRef: {containerName: main, resource: limits.cpu, divisor: 1m}}, {path: b, resourceFieldRef: {containerName: main, resource: limits.memory}}, {path: c, resourceFieldRef: {containerName: main, resource: requests.cpu}}, {path: d, resourceFieldRef: {containerName: main, resource: requests.memory, divisor: 1Mi}}]}"),
		main:   "resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 250m, memory: 32Mi}}\n" + mountedAt,
		script: "for f in a b c d; do cat /v/$f; echo; done", log: "500\n67108864\n1\n32\n"},
	{name: "without limits the files have what the machine has", spec: volume("downwardAPI: {items: [{path: a, resourceFieldRef: {containerName: main, resource: limits.cpu}}]}"), main: mountedAt, script: "[ $(cat /v/a) = $(nproc) ]; echo $?", log: "0\n"},
	{name: "ephemeral storage in a file", spec: volume("downwardAPI: {items: [{path: a, resourceFieldRef: {containerName: main, resource: limits.ephemeral-storage, divisor: 1Mi}}]}"), main: "resources: {limits: {ephemeral-storage: 100Mi}}\n" + mountedAt, script: "cat /v/a; echo", log: "100\n"},

	{name: "a projected volume joins all its sources", meta: "labels: {a: one}", objects: configMap("@pod", "{c: conf}") + "---\n" + secret("@pod", "{s: keep}"),
		spec: projected("", "configMap: {name: @pod}", "secret: {name: @pod}", "downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}"), main: mountedAt,
		script: "ls /v; cat /v/c /v/s /v/name; echo", log: "c\nname\ns\nconfkeep@pod\n"},
	{name: "a projected volume puts its sources into directories", objects: configMap("@pod", "{c: conf}") + "---\n" + secret("@pod", "{s: keep}"),
		spec: projected("", "configMap: {name: @pod, items: [{key: c, path: a/b/c}]}", "secret: {name: @pod, items: [{key: s, path: a/s}]}"), main: mountedAt,
		script: "cd /v; cat a/b/c a/s; echo", log: "confkeep\n"},
	{name: "an optional source of a projected volume may be missing", objects: configMap("@pod", "{c: conf}"),
		spec: projected("", "configMap: {name: @pod}", "secret: {name: @pod, optional: true}"), main: mountedAt, script: "ls /v", log: "c\n"},
	{name: "a projected volume waits for a source that is missing", objects: configMap("@pod", "{c: conf}"),
		spec: projected("", "configMap: {name: @pod}", "secret: {name: @pod}"), main: mountedAt, script: "ls /v", log: "c\ns\n",
		check: func(c *trial) {
			c.wait("told what is missing", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, "Secret") })
			c.write(c.pod+"-late.yaml", secret("@pod", "{s: late}"))
			c.runsOnce()
		}},
}...)}

// changesMeta edits the pod's metadata and waits until a script in main, which is not restarted, prints what is wanted.
func (c *trial) changesMeta(meta, script, want string) {
	before := c.ready()
	changed := c.behaviour
	changed.meta = meta
	c.apply(changed)
	c.until("the change shows", func() error {
		if got := c.sh(script); got != want {
			return fmt.Errorf("%q", got)
		}
		return nil
	})
	c.equal("the container", status(c.ready(), "main").ContainerID, status(before, "main").ContainerID)
}

// directories are volumes that pods write: emptyDir, hostPath and claims, and parts of them.
var directories = area{name: "directories", behaviours: append(emptyDirs(), []behaviour{
	{name: "containers share an emptyDir", spec: volume("emptyDir: {}"), main: mountedAt, script: "until [ -s /v/f ]; do sleep 0.1; done; cat /v/f", log: "from the other\n", beside: item("other", "echo from the other >/v/f", mountedAt)},
	{name: "an emptyDir in memory has its size", spec: volume("emptyDir: {medium: Memory, sizeLimit: 10Mi}"), main: mountedAt, script: "df -k /v | awk 'NR==2 {print $2}'", log: "10240\n"},
	{name: "an emptyDir in memory refuses what is more than its size", spec: volume("emptyDir: {medium: Memory, sizeLimit: 1Mi}"), main: mountedAt, script: "dd if=/dev/zero of=/v/f bs=1M count=2 2>/dev/null; echo $?; stat -c %s /v/f", log: "1\n1048576\n"},
	{name: "an emptyDir keeps its files over a restart of its container", spec: volume("emptyDir: {}") + "\nrestartPolicy: OnFailure", main: mountedAt, script: "echo run >>/v/f; [ $(wc -l </v/f) = 2 ]",
		check: func(c *trial) {
			c.phase(v1.PodSucceeded)
			c.equal("the output", status(c.phase(v1.PodSucceeded), "main").RestartCount, int32(1))
		}},
	{name: "an emptyDir goes with its pod", spec: volume("emptyDir: {}") + "\nrestartPolicy: Always", main: mountedAt, script: "echo mine >/v/f; " + forever,
		check: func(c *trial) {
			p := c.ready()
			dir := c.b.path("root/pods/" + string(p.UID))
			if _, err := os.Stat(dir); err != nil {
				c.errorf("%v", err)
			}
			c.remove(c.pod + ".yaml")
			c.until("it is gone", func() error {
				if _, err := os.Stat(dir); err == nil {
					return fmt.Errorf("%s is there", dir)
				}
				return nil
			})
		}},
	{name: "an emptyDir on the disk that grows over its size has its pod evicted", spec: volume("emptyDir: {sizeLimit: 1Mi}"), main: mountedAt, script: "dd if=/dev/zero of=/v/f bs=1M count=3; " + forever,
		check: func(c *trial) {
			p := c.phase(v1.PodFailed)
			c.equal("the reason", p.Status.Reason, "Evicted")
			c.contains("the message", p.Status.Message, `"v"`)
		}},

	{name: "a hostPath shows the host's files", spec: volume("hostPath: {path: @host}"), main: mountedAt, script: "echo of the pod >/v/f", check: func(c *trial) {
		c.runsOnce()
		c.equal("the file", c.hostFile("f"), "of the pod\n")
	}},
	{name: "a hostPath without a type need not exist", spec: volume("hostPath: {path: @host/new}"), main: mountedAt, script: "stat -c %F /v", log: "directory\n"},
	{name: "DirectoryOrCreate makes a directory of mode 0755", spec: volume("hostPath: {path: @host/new, type: DirectoryOrCreate}"), main: mountedAt, script: "stat -c '%F %a %u' /v", log: "directory 755 0\n"},
	{name: "FileOrCreate makes a file of mode 0644", spec: volume("hostPath: {path: @host/new, type: FileOrCreate}"), main: mountedAt, script: "stat -c '%F %a %u' /v", log: "regular empty file 644 0\n"},
	hostPathFails("Directory", "missing", ""), hostPathFails("Directory", "file", "touch"), hostPathFails("File", "missing", ""), hostPathFails("File", "dir", "mkdir"),
	hostPathFails("Socket", "file", "touch"), hostPathFails("CharDevice", "file", "touch"), hostPathFails("BlockDevice", "file", "touch"), hostPathFails("FileOrCreate", "dir", "mkdir"), hostPathFails("DirectoryOrCreate", "file", "touch"),
	{name: "a hostPath keeps its owner and mode, also with fsGroup", spec: volume("hostPath: {path: @host/d, type: DirectoryOrCreate}") + "\nsecurityContext: {fsGroup: 1234}", main: mountedAt, script: "stat -c '%a %g' /v", log: "755 0\n"},
	{name: "a hostPath is shared by two pods", spec: volume("hostPath: {path: @host}"), main: mountedAt, script: "until [ -s /v/f ]; do sleep 0.1; done; cat /v/f", log: "of the other pod\n", check: func(c *trial) {
		other := c.behaviour
		other.script = "echo of the other pod >/v/f"
		c.write(c.pod+"-other.yaml", other.manifest(c.pod+"-other"))
		c.runsOnce()
	}},
	{name: "a container that mounts read-only cannot write, another can", spec: volume("emptyDir: {}"), main: readOnly, script: "echo x >/v/f", log: "/bin/sh: can't create /v/f: Read-only file system\n", code: 1, beside: item("other", "echo x >/v/g", mountedAt),
		check: func(c *trial) {
			c.runsOnce()
			c.equal("the other's exit code", status(c.phase(v1.PodFailed), "other").State.Terminated.ExitCode, int32(0))
		}},
	{name: "a volume hides what the image has at its path", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /data}]", script: "ls -A /data; echo end", log: "end\n"},
	{name: "a volume can be mounted below another", spec: "volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {medium: Memory}}]", main: "volumeMounts: [{name: w, mountPath: /v/w}, {name: v, mountPath: /v}]", script: "echo x >/v/w/f; grep -c ' /v/w tmpfs ' /proc/mounts", log: "1\n"},
	{name: "a claim keeps its files for the next pod", spec: volume("persistentVolumeClaim: {claimName: @pod}"), main: mountedAt, script: "cat /v/f 2>/dev/null; echo kept >/v/f", check: func(c *trial) {
		c.runsOnce()
		c.remove(c.pod + ".yaml")
		second := c.behaviour
		c.write(c.pod+"-second.yaml", second.manifest(c.pod+"-second"))
		c.waitOther(c.pod+"-second", "succeeded", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodSucceeded })
		c.equal("what the second pod read", c.get("/containerLogs/default/"+c.pod+"-second/main"), "kept\n")
	}},
	{name: "an image as a volume is there and read-only", spec: volume("image: {reference: '" + entryImage + "'}"), main: mountedAt, script: "cat /v/data/file; touch /v/x", log: "of the image\ntouch: /v/x: Read-only file system\n", code: 1},
	{name: "a part of an image as a volume", spec: volume("image: {reference: '" + entryImage + "'}"), main: "volumeMounts: [{name: v, mountPath: /v, subPath: data}]", script: "ls /v", log: "file\n"},
	{name: "an image as a volume that is never pulled keeps the pod waiting", spec: volume("image: {reference: 'solopod.example/none:1', pullPolicy: Never}"), main: mountedAt, script: "true", check: func(c *trial) {
		c.wait("told which image is missing", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, "solopod.example/none:1") })
		c.stays(1e9, "pending", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodPending })
	}},
}...)}

// hostPathFails is a pod that waits, for its hostPath is not of the type that it names.
func hostPathFails(kind, path, made string) behaviour {
	name := fmt.Sprintf("a hostPath of type %s that is a %s keeps the pod waiting", kind, path)
	if made == "" {
		name = fmt.Sprintf("a hostPath of type %s that does not exist keeps the pod waiting", kind)
	}
	spec := volume("hostPath: {path: @host/sub/" + path + ", type: " + kind + "}")
	return behaviour{name: name, spec: spec, main: mountedAt, script: "true", check: func(c *trial) {
		c.remove(c.pod + ".yaml") // the directory is made first
		var err error
		dir := filepath.Join(c.host, "sub")
		switch made {
		case "touch":
			err = os.MkdirAll(dir, 0o755)
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, path), nil, 0o644)
			}
		case "mkdir":
			err = os.MkdirAll(filepath.Join(dir, path), 0o755)
		}
		if err != nil {
			c.fatalf("%v", err)
		}
		c.apply(c.behaviour)
		c.wait("told what is wrong", func(p *v1.Pod) bool { return strings.Contains(p.Status.Message, "sub/"+path) })
		c.stays(1e9, "pending", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodPending })
		c.event("FailedMount", "sub/"+path)
	}}
}

// emptyDirs are the modes and owners of emptyDir volumes and of files in them.
func emptyDirs() []behaviour {
	var out []behaviour
	for _, medium := range []struct{ name, source, kind string }{{"in memory", "emptyDir: {medium: Memory}", "tmpfs"}, {"on the disk", "emptyDir: {}", ""}} {
		out = append(out,
			behaviour{name: "an emptyDir " + medium.name + " has mode 0777", spec: volume(medium.source), main: mountedAt, script: "stat -c '%a %u %g' /v", log: "777 0 0\n"},
			behaviour{name: "an emptyDir " + medium.name + " with fsGroup has mode 2777 and that group", spec: volume(medium.source) + "\nsecurityContext: {fsGroup: 123}", main: mountedAt, script: "stat -c '%a %g' /v", log: "2777 123\n"},
			behaviour{name: "an emptyDir " + medium.name + " lies there", spec: volume(medium.source), main: mountedAt, script: "grep -c ' /v tmpfs ' /proc/mounts; true", log: map[string]string{"tmpfs": "1\n", "": "0\n"}[medium.kind]})
		for _, user := range []string{"0", "1001"} {
			out = append(out, behaviour{name: fmt.Sprintf("user %s makes files with fsGroup in an emptyDir %s", user, medium.name), spec: volume(medium.source) + "\nsecurityContext: {fsGroup: 123, runAsUser: " + user + "}", main: mountedAt,
				script: "echo x >/v/f; stat -c '%u %g' /v/f", log: user + " 123\n"})
			for _, mode := range []string{"644", "666", "777"} {
				out = append(out, behaviour{name: fmt.Sprintf("user %s makes a file of mode 0%s in an emptyDir %s", user, mode, medium.name), spec: volume(medium.source) + "\nsecurityContext: {runAsUser: " + user + "}", main: mountedAt,
					script: "echo content >/v/f; chmod " + mode + " /v/f; stat -c '%a %u' /v/f; cat /v/f", log: mode + " " + user + "\ncontent\n"})
			}
		}
	}
	return out
}

// parts are mounts of a part of a volume, and how mounts spread.
var parts = area{name: "parts of volumes", behaviours: []behaviour{
	{name: "subPath mounts a directory of the volume", spec: volume("emptyDir: {}"), init: item("writer", "mkdir /v/d; echo x >/v/d/f", mountedAt), main: "volumeMounts: [{name: v, mountPath: /v, subPath: d}]", script: "ls /v", log: "f\n"},
	{name: "subPath mounts a file of the volume", spec: volume("emptyDir: {}"), init: item("writer", "echo content >/v/f", mountedAt), main: "volumeMounts: [{name: v, mountPath: /etc/some.conf, subPath: f}]", script: "cat /etc/some.conf", log: "content\n"},
	{name: "subPath mounts a key of a ConfigMap", objects: configMap("@pod", "{k: conf}"), spec: volume("configMap: {name: @pod}"), main: "volumeMounts: [{name: v, mountPath: /etc/some.conf, subPath: k}]", script: "cat /etc/some.conf; echo; ls /etc/passwd", log: "conf\n/etc/passwd\n"},
	{name: "subPath mounts a key of a Secret", objects: secret("@pod", "{k: keep}"), spec: volume("secret: {secretName: @pod}"), main: "volumeMounts: [{name: v, mountPath: /f, subPath: k}]", script: "cat /f; echo", log: "keep\n"},
	{name: "subPath mounts a file of the downward API", spec: volume("downwardAPI: {items: [{path: d/name, fieldRef: {fieldPath: metadata.name}}]}"), main: "volumeMounts: [{name: v, mountPath: /f, subPath: d/name}]", script: "cat /f; echo", log: "@pod\n"},
	{name: "subPath mounts a file of a projected volume", objects: configMap("@pod", "{k: conf}"), spec: projected("", "configMap: {name: @pod}"), main: "volumeMounts: [{name: v, mountPath: /f, subPath: k}]", script: "cat /f; echo", log: "conf\n"},
	{name: "a file by subPath can lie over a file of the image", objects: configMap("@pod", "{k: other}"), spec: volume("configMap: {name: @pod}"), main: "volumeMounts: [{name: v, mountPath: /data/file, subPath: k}]", script: "cat /data/file; echo", log: "other\n"},
	{name: "a subPath that does not exist becomes a directory", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /v, subPath: a/b}, {name: v, mountPath: /all}]", script: "touch /v/f; ls /all/a/b", log: "f\n"},
	{name: "a subPath that does not exist has the volume's mode and fsGroup", spec: volume("emptyDir: {medium: Memory}") + "\nsecurityContext: {runAsUser: 1001, fsGroup: 123}", main: "volumeMounts: [{name: v, mountPath: /v, subPath: sub}]", script: "stat -c '%a %g' /v", log: "2777 123\n"},
	{name: "two subPaths of a volume at two paths", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /a, subPath: a}, {name: v, mountPath: /b, subPath: b}]", script: "touch /a/f; ls /b; echo end", log: "end\n"},
	{name: "a read-only subPath cannot be written", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /v, subPath: a, readOnly: true}]", script: "touch /v/f", log: "touch: /v/f: Read-only file system\n", code: 1},
	{name: "a subPath may be a link within the volume", spec: volume("emptyDir: {}"), init: item("writer", "mkdir /v/d; echo x >/v/d/f; ln -s d /v/l", mountedAt), main: "volumeMounts: [{name: v, mountPath: /v, subPath: l}]", script: "cat /v/f", log: "x\n"},
	subPathFails("a link out of the volume", "ln -s /etc /v/sub"), subPathFails("a link up", "ln -s ../.. /v/sub"), subPathFails("a link to a link out of the volume", "ln -s /etc /v/l; ln -s l /v/sub"), subPathFails("a link to itself", "ln -s sub /v/sub"),
	{name: "a subPath with dots is refused", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /v, subPath: a/../../b}]", script: "true", check: refused("..")},
	{name: "an absolute subPath is refused", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /v, subPath: /etc}]", script: "true", check: refused("must be relative")},
	{name: "subPath and subPathExpr together are refused", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /v, subPath: a, subPathExpr: b}]", script: "true", check: refused("subPathExpr")},
	{name: "subPathExpr puts variables into the path", spec: volume("emptyDir: {}"), main: "env: [{name: 'N', valueFrom: {fieldRef: {fieldPath: metadata.name}}}]\nvolumeMounts: [{name: v, mountPath: /v, subPathExpr: logs/$(N)}, {name: v, mountPath: /all}]", script: "touch /v/f; cd /all; find . -type f", log: "./logs/@pod/f\n"},
	{name: "subPathExpr with an unknown variable keeps the container waiting", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /v, subPathExpr: $(NONE)}]", script: "true", check: func(c *trial) { c.contains("the message", c.waiting("CreateContainerConfigError").Message, "NONE") }},
	{name: "subPathExpr whose variable leads up keeps the container waiting", spec: volume("emptyDir: {}"), main: "env: [{name: 'N', value: ..}]\nvolumeMounts: [{name: v, mountPath: /v, subPathExpr: $(N)}]", script: "true", check: func(c *trial) { c.waiting("CreateContainerConfigError") }},
	{name: "subPathExpr whose variable is an absolute path keeps the container waiting", spec: volume("emptyDir: {}"), main: "env: [{name: 'N', value: /tmp}]\nvolumeMounts: [{name: v, mountPath: /v, subPathExpr: $(N)}]", script: "true", check: func(c *trial) { c.waiting("CreateContainerConfigError") }},
	{name: "subPathExpr that fails is tried again with a mended annotation", meta: "annotations: {other: x}", spec: volume("emptyDir: {}") + "\nrestartPolicy: Always", main: "env: [{name: 'N', valueFrom: {fieldRef: {fieldPath: \"metadata.annotations['path']\"}}}]\nvolumeMounts: [{name: v, mountPath: /v, subPathExpr: $(N)/x}, {name: v, mountPath: /all}]", script: "touch /v/f; " + forever, check: func(c *trial) {
		c.waiting("CreateContainerConfigError")
		mended := c.behaviour
		mended.meta = "annotations: {path: mended}"
		c.apply(mended)
		c.ready()
		c.equal("the files", c.sh("cd /all; find . -type f"), "./mended/x/f")
	}},
	{name: "subPathExpr is not expanded anew when its variable changes", meta: "annotations: {path: first}", spec: volume("emptyDir: {}") + "\nrestartPolicy: Always", main: "env: [{name: 'N', valueFrom: {fieldRef: {fieldPath: \"metadata.annotations['path']\"}}}]\nvolumeMounts: [{name: v, mountPath: /v, subPathExpr: $(N)}, {name: v, mountPath: /all}]", script: forever, check: func(c *trial) {
		c.changesMeta("annotations: {path: second}", "touch /v/f; cd /all; find . -type f", "./first/f")
	}},
	{name: "subPath works again after a restart of the container", spec: volume("emptyDir: {}") + "\nrestartPolicy: OnFailure", main: "volumeMounts: [{name: v, mountPath: /v, subPath: a}]", script: "echo run >>/v/f; [ $(wc -l </v/f) = 2 ]", check: func(c *trial) { c.phase(v1.PodSucceeded) }},
	{name: "a container with a subPath sees a file that was replaced after a restart", spec: volume("hostPath: {path: @host}") + "\nrestartPolicy: OnFailure", init: item("writer", "echo old >/v/f", mountedAt), main: "volumeMounts: [{name: v, mountPath: /one, subPath: f}, {name: v, mountPath: /v}]",
		script: "cat /one; [ $(cat /one) = new ] && exit 0; echo new >/v/.f; mv /v/.f /v/f; cat /one; exit 1", check: func(c *trial) {
			c.phase(v1.PodSucceeded)
			c.equal("the output", c.get("/containerLogs/default/"+c.pod+"/main?previous=true")+c.logs("main"), "old\nold\nnew\n")
		}},
	{name: "a mount is private unless the pod says otherwise", spec: volume("hostPath: {path: @host}"), main: mountedAt, script: "grep ' /v ' /proc/self/mountinfo | grep -cE 'shared|master'; true", log: "0\n"},
	{name: "HostToContainer makes a mount that follows the host", spec: volume("hostPath: {path: @host}"), main: "volumeMounts: [{name: v, mountPath: /v, mountPropagation: HostToContainer}]", script: "grep ' /v ' /proc/self/mountinfo | grep -c master; true", log: "1\n", check: needsSharedHost},
	{name: "Bidirectional is refused for a container that is not privileged", spec: volume("hostPath: {path: @host}"), main: "volumeMounts: [{name: v, mountPath: /v, mountPropagation: Bidirectional}]", script: "true", check: refused("Bidirectional")},
	{name: "recursiveReadOnly makes mounts below read-only, too", spec: "volumes: [{name: v, emptyDir: {}}]", main: "volumeMounts: [{name: v, mountPath: /v, readOnly: true, recursiveReadOnly: Enabled}]", script: "touch /v/f", log: "touch: /v/f: Read-only file system\n", code: 1},
	{name: "recursiveReadOnly needs readOnly", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /v, recursiveReadOnly: Enabled}]", script: "true", check: refused("readOnly: true")},
	{name: "the status tells how a volume is mounted", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /v, readOnly: true, recursiveReadOnly: IfPossible}]", script: "true", check: func(c *trial) {
		p := c.phase(v1.PodSucceeded)
		if m := status(p, "main").VolumeMounts; len(m) != 1 || m[0].MountPath != "/v" || !m[0].ReadOnly || m[0].RecursiveReadOnly == nil || *m[0].RecursiveReadOnly != v1.RecursiveReadOnlyEnabled {
			c.errorf("the mounts are %+v", m)
		}
	}},
	{name: "two mounts at one path are refused", spec: volume("emptyDir: {}"), main: "volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /v}]", script: "true", check: refused("/v")},
	{name: "a mount of a volume that the pod does not have is refused", main: mountedAt, script: "true", check: refused(`"v"`)},
}}

// needsSharedHost looks at the output where the host's mounts are shared; where they are private none can follow.
func needsSharedHost(c *trial) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		c.fatalf("%v", err)
	}
	for _, line := range strings.Split(string(info), "\n") {
		if fields := strings.Fields(line); len(fields) > 6 && fields[4] == "/" && !strings.HasPrefix(fields[6], "shared") {
			c.log = "0\n"
		}
	}
	c.runsOnce()
}

// refused is a manifest that is not used, with a message that names what is wrong, and a pod that never comes to be.
func refused(part string) func(c *trial) {
	return func(c *trial) {
		part := c.text(part)
		c.until("the manifest is refused", func() error {
			var answer manifestsAnswer
			if err := json.Unmarshal([]byte(c.get("/manifests")), &answer); err != nil {
				return err
			}
			for _, f := range answer.Files {
				if f.Name == c.pod+".yaml" && f.State == "Invalid" {
					if text := fmt.Sprint(f.Problems); !strings.Contains(text, part) {
						c.errorf("the problem does not name %s: %s", part, text)
					}
					return nil
				}
			}
			return fmt.Errorf("it is not")
		})
		if list := c.history(); len(list) > 0 {
			c.errorf("there is a pod")
		}
	}
}

// subPathFails is a container that waits, for its subPath leads where it must not.
func subPathFails(what, script string) behaviour {
	return behaviour{name: "a subPath that is " + what + " keeps the container waiting", spec: volume("emptyDir: {}"), init: item("writer", script, mountedAt), main: "volumeMounts: [{name: v, mountPath: /v, subPath: sub}]", script: "true",
		check: func(c *trial) {
			w := c.wait("waiting", func(p *v1.Pod) bool {
				w := status(p, "main").State.Waiting
				return w != nil && (w.Reason == "CreateContainerConfigError" || w.Reason == "CreateContainerError")
			})
			c.contains("the message", status(w, "main").State.Waiting.Message, "sub")
			c.equal("the attempts", status(w, "main").ContainerID, "")
		}}
}
