package kube

import (
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/convert/note"
)

var (
	// names are fields of which the value is a name that Kubernetes bounds.
	names = strings.Fields("claimName secretName hostname")
	// numbers and truths are fields whose values are written in quotes at times.
	numbers = strings.Fields("containerPort hostPort port nodePort targetPort replicas runAsUser runAsGroup fsGroup initialDelaySeconds periodSeconds timeoutSeconds " +
		"failureThreshold successThreshold terminationGracePeriodSeconds activeDeadlineSeconds defaultMode mode backoffLimit completions parallelism")
	truths = strings.Fields("privileged readOnlyRootFilesystem allowPrivilegeEscalation runAsNonRoot readOnly tty stdin stdinOnce hostNetwork hostPID hostIPC " +
		"shareProcessNamespace enableServiceLinks automountServiceAccountToken optional suspend immutable")
	// texts are maps whose values are texts.
	texts = strings.Fields("labels annotations matchLabels nodeSelector selector volumeAttributes")
	// named are lists and maps whose field name is a name that Kubernetes bounds, in itself or as what it refers to.
	named = strings.Fields("containers initContainers volumes volumeMounts volumeDevices configMap secret configMapRef secretRef configMapKeyRef secretKeyRef imagePullSecrets")
	// words are fields with a few values, which have one spelling.
	words = map[string][]string{
		"protocol":                 {"TCP", "UDP", "SCTP"},
		"imagePullPolicy":          {"Always", "IfNotPresent", "Never"},
		"restartPolicy":            {"Always", "OnFailure", "Never"},
		"medium":                   {"Memory"},
		"scheme":                   {"HTTP", "HTTPS"},
		"dnsPolicy":                {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"},
		"terminationMessagePolicy": {"File", "FallbackToLogsOnError"},
		"concurrencyPolicy":        {"Allow", "Forbid", "Replace"},
	}
	// also are words of others for these.
	also = map[string]map[string]string{
		"imagePullPolicy": {"newer": "Always", "missing": "IfNotPresent"},
		"restartPolicy":   {"unless-stopped": "Always", "on-failure": "OnFailure", "no": "Never", "false": "Never"},
	}
	sizes = regexp.MustCompile(`^([0-9.]+) ?([kKmMgGtT])(i?)[bB]$`)
)

// metadata mends the name and the labels.
func (d *doc) metadata(m *yaml.Node, at string) {
	d.name(m, "name", at)
	for _, key := range []string{"labels", "annotations"} {
		d.strings(get(m, key), at+"."+key, false)
	}
}

// name gives a field a value that can be a name: all references to it change alike.
func (d *doc) name(m *yaml.Node, key, at string) {
	n := get(m, key)
	old := text(n)
	if old == "" || len(validation.IsDNS1123Subdomain(old)) == 0 && n.ShortTag() == "!!str" && !truth(n) {
		return
	}
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(old)) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' {
			b.WriteByte(c)
		} else {
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String(), "-.")
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		d.say(n, note.Failed, at+"."+key, "nothing of %q can be a name; write one of small letters, digits and '-'", old)
		return
	}
	q := word(n, "!!str", name)
	if truth(q) {
		q.Style = yaml.DoubleQuotedStyle
	}
	set(m, key, q)
	if name != old {
		d.say(n, note.Changed, at+"."+key, "%q is %q, here and where it is referred to: a name is of small letters, digits and '-'", old, name)
	}
}

// strings makes texts of the values of a map. Those of a secret one are not shown.
func (d *doc) strings(m *yaml.Node, at string, secret bool) {
	if m == nil || m.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		m.Content[i+1] = d.quoted(m.Content[i+1], at+"."+m.Content[i].Value, secret)
	}
}

// quoted is a scalar as a text, with what was written. One that may be secret is not shown.
func (d *doc) quoted(n *yaml.Node, at string, secret bool) *yaml.Node {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!str" && !truth(n) || n.ShortTag() == "!!binary" {
		return n
	}
	q := word(n, "!!str", n.Value)
	q.Style = yaml.DoubleQuotedStyle
	if n.ShortTag() == "!!null" {
		q.Value = ""
	}
	if secret {
		d.say(n, note.Changed, at, "it is in quotes: a text is wanted")
	} else {
		d.say(n, note.Changed, at, "%q is in quotes: a text is wanted", q.Value)
	}
	return q
}

// truth: YAML 1.1, which others read, has more words for true and false.
func truth(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && slices.Contains(strings.Fields("yes no on off y n"), strings.ToLower(n.Value))
}

// walk mends what has one meaning wherever it stands.
func (d *doc) walk(n *yaml.Node, at string) {
	if n == nil || d.depth > maxDepth {
		return
	}
	d.depth++
	defer func() { d.depth-- }()
	for i, item := range items(n) {
		d.walk(item, fmt.Sprintf("%s[%d]", at, i))
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i].Value, n.Content[i+1]
		here := at + "." + key
		switch {
		case key == "metadata":
			d.metadata(v, here)
		case slices.Contains(texts, key) && v.Kind == yaml.MappingNode && get(v, "matchLabels") == nil && get(v, "matchExpressions") == nil:
			d.strings(v, here, false)
			continue
		case key == "limits" || key == "requests":
			d.quantities(v, here)
			continue
		case key == "sizeLimit" || key == "storage":
			n.Content[i+1] = d.quantity(v, here)
		case slices.Contains(names, key):
			d.name(n, key, at)
		case slices.Contains(named, key):
			d.named(v, here)
		case v.Kind == yaml.ScalarNode:
			n.Content[i+1] = d.scalar(key, v, here)
		}
		d.walk(n.Content[i+1], here)
	}
}

func (d *doc) named(v *yaml.Node, at string) {
	if v.Kind == yaml.MappingNode {
		d.name(v, "name", at)
	}
	for i, item := range items(v) {
		d.name(item, "name", fmt.Sprintf("%s[%d]", at, i))
	}
}

// scalar mends the spelling of a value.
func (d *doc) scalar(key string, v *yaml.Node, at string) *yaml.Node {
	if allowed, ok := words[key]; ok {
		for _, w := range allowed {
			if other := also[key][strings.ToLower(v.Value)]; w == other || strings.EqualFold(w, strings.ReplaceAll(v.Value, "-", "")) && w != v.Value {
				d.say(v, note.Changed, at, "%q is %s", v.Value, w)
				return word(v, "!!str", w)
			}
		}
	}
	if v.ShortTag() != "!!str" {
		return v
	}
	if _, err := strconv.ParseUint(v.Value, 10, 63); err == nil && slices.Contains(numbers, key) {
		d.say(v, note.Changed, at, "it is not in quotes: a number is wanted")
		return word(v, "!!int", v.Value)
	}
	if slices.Contains(truths, key) {
		switch strings.ToLower(v.Value) {
		case "true", "yes", "on":
			d.say(v, note.Changed, at, "it is true, without quotes")
			return word(v, "!!bool", "true")
		case "false", "no", "off":
			d.say(v, note.Changed, at, "it is false, without quotes")
			return word(v, "!!bool", "false")
		}
	}
	return v
}

func (d *doc) quantities(m *yaml.Node, at string) {
	if m.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		m.Content[i+1] = d.quantity(m.Content[i+1], at+"."+m.Content[i].Value)
	}
}

// quantity writes sizes as Kubernetes does: 512MB is 512M, 1GiB 1Gi.
func (d *doc) quantity(v *yaml.Node, at string) *yaml.Node {
	m := sizes.FindStringSubmatch(text(v))
	if m == nil {
		return v
	}
	unit := strings.ToUpper(m[2])
	if unit == "K" && m[3] == "" {
		unit = "k"
	}
	q := m[1] + unit + m[3]
	d.say(v, note.Changed, at, "%s is %s", v.Value, q)
	return word(v, "!!str", q)
}

// pod mends a pod's spec.
func (d *doc) pod(spec *yaml.Node, at string) {
	for _, list := range []string{"initContainers", "containers"} {
		used := map[string]int{}
		for i, c := range items(get(spec, list)) {
			d.container(c, fmt.Sprintf("%s.%s[%d]", at, list, i), used)
		}
	}
	for i, v := range items(get(spec, "volumes")) {
		d.volume(v, fmt.Sprintf("%s.volumes[%d]", at, i))
	}
	d.annotations()
}

// container mends one. used counts the names of those before it.
func (d *doc) container(c *yaml.Node, at string, used map[string]int) {
	if c.Kind != yaml.MappingNode {
		return
	}
	image := get(c, "image")
	if ref, ok := strings.CutPrefix(text(image), "docker://"); ok {
		set(c, "image", word(image, "!!str", ref))
		d.say(image, note.Changed, at+".image", "docker:// is left out: the image is %s", ref)
	}
	if text(get(c, "name")) == "" {
		base := "container"
		if repository, _, _ := strings.Cut(path.Base(text(get(c, "image"))), ":"); repository != "" && repository != "." {
			base = strings.ToLower(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(repository, "-"))
		}
		name := base
		for used[name] > 0 {
			used[base]++
			name = fmt.Sprintf("%s-%d", base, used[base])
		}
		set(c, "name", word(c, "!!str", name))
		d.say(c, note.Changed, at+".name", "a container needs a name; it is %s", name)
	}
	used[text(get(c, "name"))]++
	for _, key := range []string{"command", "args"} {
		v := get(c, key)
		if v != nil && v.Kind == yaml.ScalarNode && v.ShortTag() != "!!null" {
			set(c, key, &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: v.Line, Content: []*yaml.Node{word(v, "!!str", v.Value)}})
			d.say(v, note.Changed, at+"."+key, "it is a list; that has the one text, which is not split at spaces")
		}
		for i, item := range items(get(c, key)) {
			get(c, key).Content[i] = d.quoted(item, fmt.Sprintf("%s.%s[%d]", at, key, i), false)
		}
	}
	for i, e := range items(get(c, "env")) {
		for _, key := range []string{"name", "value"} {
			if v := get(e, key); v != nil {
				set(e, key, d.quoted(v, fmt.Sprintf("%s.env[%d].%s", at, i, key), key == "value"))
			}
		}
	}
	for i, p := range items(get(c, "ports")) {
		if h := get(p, "hostPort"); h != nil && get(p, "containerPort") == nil {
			set(p, "containerPort", word(h, "!!int", h.Value))
			d.say(h, note.Changed, fmt.Sprintf("%s.ports[%d].containerPort", at, i), "a port needs one; it is that of the machine")
		}
	}
	for i, m := range items(get(c, "volumeMounts")) {
		d.mount(m, fmt.Sprintf("%s.volumeMounts[%d]", at, i))
	}
	for _, key := range []string{"add", "drop"} {
		list := get(c, "securityContext", "capabilities", key)
		for i, item := range items(list) {
			if name := strings.TrimPrefix(strings.ToUpper(item.Value), "CAP_"); name != item.Value {
				list.Content[i] = word(item, "!!str", name)
				d.say(item, note.Changed, fmt.Sprintf("%s.securityContext.capabilities.%s[%d]", at, key, i), "%s is %s", item.Value, name)
			}
		}
	}
}

// mount takes podman's options off the path.
func (d *doc) mount(m *yaml.Node, at string) {
	n := get(m, "mountPath")
	p, options, found := strings.Cut(text(n), ":")
	if !found || !path.IsAbs(p) {
		return
	}
	set(m, "mountPath", word(n, "!!str", p))
	for _, o := range strings.Split(options, ",") {
		switch o {
		case "ro":
			set(m, "readOnly", word(n, "!!bool", "true"))
			d.say(n, note.Changed, at+".mountPath", "readOnly: true stands for %q", ":ro")
		case "rw", "", "exec", "dev", "suid", "nosuid", "nodev", "rprivate", "private", "bind", "rbind":
		case "z", "Z":
			d.say(n, note.Changed, at+".mountPath", "%q is left out: directories of the machine are not labelled for a pod. Where SELinux enforces, label it (chcon -Rt container_file_t), or give the container seLinuxOptions", o)
		case "rslave", "slave":
			set(m, "mountPropagation", word(n, "!!str", "HostToContainer"))
			d.say(n, note.Changed, at+".mountPath", "mountPropagation: HostToContainer stands for %q", o)
		case "U":
			d.say(n, note.Changed, at+".mountPath", `"U" is left out: set fsGroup, or change the directory's owner`)
		default:
			d.say(n, note.Lost, at+".mountPath", "the option %q has no counterpart", o)
		}
	}
}

func (d *doc) volume(v *yaml.Node, at string) {
	h := get(v, "hostPath", "path")
	switch p := text(h); {
	case p == "tmpfs" && strings.HasPrefix(text(get(v, "name")), "tmpfs-"):
		remove(v, "hostPath")
		set(v, "emptyDir", &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: h.Line, Content: []*yaml.Node{word(h, "!!str", "medium"), word(h, "!!str", "Memory")}})
		d.say(h, note.Changed, at+".hostPath", "podman generate kube writes a tmpfs as a directory of the machine; it is an emptyDir in memory. Its options are not in the file")
	case p == "" || path.IsAbs(p):
	case strings.HasPrefix(p, "~"):
		d.say(h, note.Failed, at+".hostPath.path", "whose home %q is cannot be known; write the path in full", p)
	default:
		full, err := filepath.Abs(filepath.Join(d.dir, p))
		if err != nil {
			d.say(h, note.Failed, at+".hostPath.path", "%v", err)
			return
		}
		set(get(v, "hostPath"), "path", word(h, "!!str", full))
		d.say(h, note.Changed, at+".hostPath.path", "a path in a manifest is absolute: %s. What lies there must be there on the machine", full)
	}
}
