package e2e

import (
	v1 "k8s.io/api/core/v1"
)

// What a container is told: its command and arguments, and its environment.
var environment = area{name: "environment", behaviours: []behaviour{
	{name: "without command and args the image's entrypoint and cmd run", main: "image: " + entryImage, log: "entrypoint cmd of image\n"},
	{name: "args replace the image's cmd alone", main: "image: " + entryImage + "\nargs: [given, words]", log: "entrypoint given words\n"},
	{name: "command replaces the image's entrypoint and drops its cmd", main: "image: " + entryImage + "\ncommand: [/bin/echo, other]", log: "other\n"},
	{name: "command and args together replace both", main: "image: " + entryImage + "\ncommand: [/bin/echo, other]\nargs: [given]", log: "other given\n"},
	{name: "a command without a slash is looked for in PATH", main: "command: [echo, found]", log: "found\n"},
	{name: "arguments keep their blanks, quotes and empty words", main: `command: [printf, "[%s]\n", "a b", "'c'", "\"d\"", ""]`, log: "[a b]\n['c']\n[\"d\"]\n[]\n"},
	{name: "variables are set in the environment", main: "env: [{name: A, value: one}, {name: B, value: 'two words'}]", script: `echo "$A/$B"`, log: "one/two words\n"},
	{name: "a variable without a value is empty, not unset", main: "env: [{name: A}]", script: `echo "${A-unset}."`, log: ".\n"},
	{name: "a variable may have any printable name", main: "env: [{name: a.b-c d, value: odd}]", script: `tr '\0' '\n' </proc/1/environ | grep ^a`, log: "a.b-c d=odd\n"},
	{name: "variables of the image are kept", script: `echo $FROM_IMAGE`, log: "yes\n"},
	{name: "variables of the pod win over those of the image", main: "env: [{name: FROM_IMAGE, value: own}]", script: `echo $FROM_IMAGE`, log: "own\n"},
	{name: "the last of two variables of one name wins", main: "env: [{name: A, value: first}, {name: A, value: second}]", script: `tr '\0' '\n' </proc/1/environ | grep ^A=`, log: "A=second\n"},
	{name: "a variable is composed of earlier ones", main: `env: [{name: A, value: a}, {name: B, value: b}, {name: C, value: "$(A);;$(B)"}]`, script: `echo "$C"`, log: "a;;b\n"},
	{name: "a variable cannot refer to a later one", main: `env: [{name: A, value: "$(B)"}, {name: B, value: b}]`, script: `echo "$A"`, log: "$(B)\n"},
	{name: "a variable that refers to itself stays as it is written", main: `env: [{name: A, value: "$(A)x"}]`, script: `echo "$A"`, log: "$(A)x\n"},
	{name: "a redefined variable can refer to its earlier value", main: `env: [{name: A, value: a}, {name: A, value: "$(A)b"}]`, script: `echo "$A"`, log: "ab\n"},
	{name: "a doubled dollar is not expanded", main: `env: [{name: A, value: a}, {name: B, value: "$$(A)"}]`, script: `echo "$B"`, log: "$(A)\n"},
	{name: "a dollar without parentheses is kept", main: `env: [{name: A, value: a}, {name: B, value: "$A ${A} $"}]`, script: `echo "$B"`, log: "$A ${A} $\n"},
	{name: "an unclosed reference is kept", main: `env: [{name: A, value: a}, {name: B, value: "$(A"}]`, script: `echo "$B"`, log: "$(A\n"},
	{name: "variables are put into the command", main: `env: [{name: A, value: given}]` + "\n" + `command: [sh, -c, "A=wrong; echo $(A)"]`, log: "given\n"},
	{name: "variables are put into the arguments", main: `env: [{name: A, value: given}]` + "\n" + `command: [sh, -c]` + "\n" + `args: ["A=wrong; echo $(A)"]`, log: "given\n"},
	{name: "an unknown variable in an argument is kept", main: `command: [echo, "$(NONE)"]`, log: "$(NONE)\n"},
	{name: "a doubled dollar in an argument is one, and not expanded", main: `env: [{name: A, value: a}]` + "\n" + `command: [echo, "$$(A) $(A)"]`, log: "$(A) a\n"},
	{name: "the command sees variables from a ConfigMap", objects: configMap("@pod", "{word: given}"),
		main: "env: [{name: A, valueFrom: {configMapKeyRef: {name: @pod, key: word}}}]\ncommand: [echo, $(A)]", log: "given\n"},
	{name: "the value of a variable from a ConfigMap is not expanded", objects: configMap("@pod", "{word: '$(B)'}"),
		main: "env: [{name: B, value: b}, {name: A, valueFrom: {configMapKeyRef: {name: @pod, key: word}}}]", script: "echo \"$A\"", log: "$(B)\n"},

	{name: "a variable from a key of a ConfigMap", objects: configMap("@pod", "{data-1: value-1, data-2: value-2}"),
		main: "env: [{name: A, valueFrom: {configMapKeyRef: {name: @pod, key: data-1}}}]", script: "echo $A", log: "value-1\n"},
	{name: "all keys of a ConfigMap, with a prefix and without", objects: configMap("@pod", "{one: '1', two: '2'}"),
		main: "envFrom: [{configMapRef: {name: @pod}}, {prefix: p-, configMapRef: {name: @pod}}]", script: `tr '\0' '\n' </proc/1/environ | grep -E '^(p-)?(one|two)=' | sort`, log: "one=1\np-one=1\np-two=2\ntwo=2\n"},
	{name: "a variable from a key of a Secret", objects: secret("@pod", "{data-1: value-1}"),
		main: "env: [{name: A, valueFrom: {secretKeyRef: {name: @pod, key: data-1}}}]", script: "echo $A", log: "value-1\n"},
	{name: "all keys of a Secret, with a prefix and without", objects: secret("@pod", "{one: '1', two: '2'}"),
		main: "envFrom: [{secretRef: {name: @pod}}, {prefix: p_, secretRef: {name: @pod}}]", script: `env | grep -E '^(p_)?(one|two)=' | sort`, log: "one=1\np_one=1\np_two=2\ntwo=2\n"},
	{name: "data of a Secret in base64 is decoded", objects: "apiVersion: v1\nkind: Secret\nmetadata: {name: @pod}\ndata: {a: dmFsdWUtMQ==}\n",
		main: "env: [{name: A, valueFrom: {secretKeyRef: {name: @pod, key: a}}}]", script: "echo $A", log: "value-1\n"},
	{name: "stringData of a Secret wins over its data", objects: "apiVersion: v1\nkind: Secret\nmetadata: {name: @pod}\ndata: {a: dmFsdWUtMQ==}\nstringData: {a: plain}\n",
		main: "env: [{name: A, valueFrom: {secretKeyRef: {name: @pod, key: a}}}]", script: "echo $A", log: "plain\n"},
	{name: "of two sources with one key the later wins", objects: configMap("@pod-a", "{k: first}") + "---\n" + configMap("@pod-b", "{k: second}"),
		main: "envFrom: [{configMapRef: {name: @pod-a}}, {configMapRef: {name: @pod-b}}]", script: "echo $k", log: "second\n"},
	{name: "env wins over envFrom", objects: configMap("@pod", "{k: source}"),
		main: "envFrom: [{configMapRef: {name: @pod}}]\nenv: [{name: k, value: own}]", script: "echo $k", log: "own\n"},
	{name: "env may refer to variables of envFrom", objects: configMap("@pod", "{k: source}"),
		main: "envFrom: [{configMapRef: {name: @pod}}]\nenv: [{name: A, value: $(k)-x}]", script: "echo $A", log: "source-x\n"},
	{name: "an optional ConfigMap that does not exist sets nothing", main: "envFrom: [{configMapRef: {name: @pod, optional: true}}]\nenv: [{name: A, valueFrom: {configMapKeyRef: {name: @pod, key: k, optional: true}}}]",
		script: "echo ${A-unset}", log: "unset\n"},
	{name: "an optional key that does not exist sets nothing", objects: configMap("@pod", "{k: v}"),
		main: "env: [{name: A, valueFrom: {configMapKeyRef: {name: @pod, key: other, optional: true}}}]", script: "echo ${A-unset}", log: "unset\n"},
	{name: "an optional Secret that does not exist sets nothing", main: "envFrom: [{secretRef: {name: @pod, optional: true}}]\nenv: [{name: A, valueFrom: {secretKeyRef: {name: @pod, key: k, optional: true}}}]",
		script: "echo ${A-unset}", log: "unset\n"},
	{name: "a container waits for a ConfigMap that is missing, and starts when it comes", main: "env: [{name: A, valueFrom: {configMapKeyRef: {name: @pod, key: k}}}]", script: "echo $A", log: "late\n",
		check: func(c *trial) {
			c.contains("the message", c.waiting("CreateContainerConfigError").Message, c.pod)
			c.write(c.pod+"-late.yaml", configMap("@pod", "{k: late}"))
			c.runsOnce()
		}},
	{name: "a container waits for a key that is missing, and starts when it comes", objects: secret("@pod", "{other: v}"), main: "env: [{name: A, valueFrom: {secretKeyRef: {name: @pod, key: k}}}]", script: "echo $A", log: "late\n",
		check: func(c *trial) {
			c.contains("the message", c.waiting("CreateContainerConfigError").Message, `"k"`)
			c.write(c.pod+"-objects.yaml", secret("@pod", "{k: late}"))
			c.runsOnce()
		}},
	{name: "a change of a ConfigMap does not change the environment of what runs", objects: configMap("@pod", "{k: old}"), main: "env: [{name: A, valueFrom: {configMapKeyRef: {name: @pod, key: k}}}]", script: forever,
		spec: "restartPolicy: Always\nvolumes: [{name: v, configMap: {name: @pod}}]",
		check: func(c *trial) {
			c.ready()
			c.write(c.pod+"-objects.yaml", configMap("@pod", "{k: new}"))
			c.stays(3e9, "unrestarted", func(p *v1.Pod) bool { return status(p, "main").RestartCount == 0 })
			c.equal("the variable", c.sh(`tr '\0' '\n' </proc/1/environ | grep ^A=`), "A=old")
		}},

	{name: "the pod's name as a variable", main: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]", script: "echo $A", log: "@pod\n"},
	{name: "the pod's namespace as a variable", main: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}]", script: "echo $A", log: "default\n"},
	{name: "the pod's uid as a variable", meta: "uid: 11111111-2222-3333-4444-555555555555", main: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}]", script: "echo $A", log: "11111111-2222-3333-4444-555555555555\n"},
	{name: "a label and an annotation as variables", meta: "labels: {app: web}\nannotations: {example.com/note: 'some text'}",
		main: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}, {name: B, valueFrom: {fieldRef: {fieldPath: \"metadata.annotations['example.com/note']\"}}}]", script: `echo "$A $B"`, log: "web some text\n"},
	{name: "a label that does not exist is an empty variable", main: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['none']\"}}}]", script: `echo "${A-unset}."`, log: ".\n"},
	{name: "the service account's name as a variable", spec: "serviceAccountName: robot", main: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}]", script: `echo "$A."`, log: "robot.\n"},
	{name: "the node's name as a variable", main: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]", script: `[ "$A" = "$(hostname)" ]; echo $?`, log: "0\n"},
	{name: "the pod's address as a variable", spec: "hostNetwork: false", main: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, {name: B, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}]", script: `echo "$A $B"`,
		check: func(c *trial) {
			c.ended()
			p := c.phase(v1.PodSucceeded)
			c.contains("podIP", p.Status.PodIP, ".")
			c.contains("the variables", c.logs("main"), p.Status.PodIP+" "+p.Status.PodIP)
		}},
	{name: "the host's address as a variable", spec: "hostNetwork: false", main: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}, {name: B, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}]", script: `echo "$A $B"`,
		check: func(c *trial) {
			c.ended()
			p := c.phase(v1.PodSucceeded)
			c.contains("hostIP", p.Status.HostIP, ".")
			c.contains("the variables", c.logs("main"), p.Status.HostIP+" "+p.Status.HostIP)
		}},
	{name: "on the host's network the pod's address is the host's", main: "env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.podIP}}}, {name: B, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}]", script: `[ -n "$A" ] && [ "$A" = "$B" ]; echo $?`, log: "0\n"},
	{name: "limits and requests as variables", main: "resources: {limits: {cpu: 1250m, memory: 64Mi}, requests: {cpu: 250m, memory: 32Mi}}\nenv: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}, {name: B, valueFrom: {resourceFieldRef: {resource: limits.memory}}}, {name: C, valueFrom: {resourceFieldRef: {resource: requests.cpu}}}, {name: D, valueFrom: {resourceFieldRef: {resource: requests.memory}}}]",
		script: "echo $A $B $C $D", log: "2 67108864 1 33554432\n"},
	{name: "resources as variables in units of a divisor, rounded up", main: "resources: {limits: {cpu: 1250m, memory: 65Mi}}\nenv: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}, {name: B, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Gi}}}, {name: C, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Ki}}}]",
		script: "echo $A $B $C", log: "1250 1 66560\n"},
	{name: "without limits the variables are what the machine has", main: "env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}, {name: B, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Ki}}}]",
		script: `[ "$A" = "$(nproc)" ] && [ "$B" -le "$(sed -n 's/MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)" ] && [ "$B" -gt 100000 ]; echo $?`, log: "0\n"},
	{name: "another container's limits as variables", main: "env: [{name: A, valueFrom: {resourceFieldRef: {containerName: other, resource: limits.memory}}}]", script: "echo $A", log: "33554432\n",
		beside: item("other", "true", "resources: {limits: {memory: 32Mi}}")},

	{name: "a variable from a file that an init container writes", spec: "volumes: [{name: v, emptyDir: {}}]", init: item("writer", `echo "KEY='from a file'" >/v/env`, "volumeMounts: [{name: v, mountPath: /v}]"),
		main: "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: env, key: KEY}}}]", script: "echo $A", log: "from a file\n"},
	{name: "a variable from a file needs no mount in its container", spec: "volumes: [{name: v, emptyDir: {}}]", init: item("writer", `echo "KEY='x'" >/v/env`, "volumeMounts: [{name: v, mountPath: /v}]"),
		main: "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: env, key: KEY}}}]", script: "echo $A; ls -d /v", log: "x\nls: /v: No such file or directory\n", code: 1},
	{name: "an optional key of a file that does not exist sets nothing", spec: "volumes: [{name: v, emptyDir: {}}]", init: item("writer", `echo "KEY='x'" >/v/env`, "volumeMounts: [{name: v, mountPath: /v}]"),
		main: "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: env, key: OTHER, optional: true}}}]", script: "echo ${A-unset}", log: "unset\n"},
	{name: "a container whose file lacks the key does not start", spec: "volumes: [{name: v, emptyDir: {}}]", init: item("writer", `echo "KEY='x'" >/v/env`, "volumeMounts: [{name: v, mountPath: /v}]"),
		main: "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: env, key: OTHER}}}]", script: "echo $A",
		check: func(c *trial) { c.contains("the message", c.waiting("CreateContainerConfigError").Message, "OTHER") }},
	{name: "a container whose file is missing does not start", spec: "volumes: [{name: v, emptyDir: {}}]",
		main: "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: env, key: OTHER}}}]", script: "echo $A",
		check: func(c *trial) { c.contains("the message", c.waiting("CreateContainerConfigError").Message, "env") }},

	{name: "hooks have variables from a file", spec: "volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}]", init: item("writer", `echo "KEY='from a file'" >/v/env`, "volumeMounts: [{name: v, mountPath: /v}]"),
		main: "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: env, key: KEY}}}]\nlifecycle: {postStart: {exec: {command: [sh, -c, 'echo $A >/w/.f; mv /w/.f /w/f']}}}\nvolumeMounts: [{name: w, mountPath: /w}]", script: "until [ -e /w/f ]; do usleep 100000; done; cat /w/f", log: "from a file\n"},
	{name: "a variable from a file of a volume that is none is refused", spec: "volumes: [{name: v, emptyDir: {}}]", main: "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: none, path: env, key: KEY}}}]", script: "true", check: refused("none")},
	{name: "a variable from a file of a volume that is not an emptyDir is refused", spec: "volumes: [{name: v, hostPath: {path: @host}}]", main: "env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: env, key: KEY}}}]", script: "true", check: refused("emptyDir")},
	{name: "a working directory that does not exist is made", main: "workingDir: /made/deep", script: "pwd", log: "/made/deep\n"},
	{name: "a terminal is given where tty is asked for", main: "tty: true", script: "test -t 1 && echo terminal", log: "terminal\r\n"},
	{name: "standard input is empty where stdin is not asked for", script: "cat; echo end", log: "end\n"},
}}
