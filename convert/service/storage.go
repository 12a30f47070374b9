package service

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/solopod/solopod/convert/composefile"
	"github.com/solopod/solopod/convert/forms"
	"github.com/solopod/solopod/convert/tree"
)

// claim is a named volume in use.
type claim struct {
	Field
	name  string
	users map[*Pod]bool
}

// volume gives the pod a volume, or finds the one of that source, and returns its name.
func (p *Pod) volume(hint string, source v1.VolumeSource) string {
	names := map[string]bool{}
	for _, v := range p.Spec.Volumes {
		if source.EmptyDir == nil && equality.Semantic.DeepEqual(v.VolumeSource, source) {
			return v.Name
		}
		names[v.Name] = true
	}
	base, ok := forms.Label(hint)
	if !ok {
		base = "volume"
	}
	if len(base) > 50 {
		base = strings.Trim(base[:50], "-")
	}
	name := base
	for i := 2; names[name]; i++ {
		name = fmt.Sprintf("%s-%d", base, i)
	}
	p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: name, VolumeSource: source})
	return name
}

// Mount mounts a volume of the pod; of two at one path the later one counts.
func (s *Service) Mount(m v1.VolumeMount) {
	for i, other := range s.Container.VolumeMounts {
		if path.Clean(other.MountPath) == path.Clean(m.MountPath) {
			s.Container.VolumeMounts[i] = m // the later one counts
			return
		}
	}
	s.Container.VolumeMounts = append(s.Container.VolumeMounts, m)
}

func volumes(f Field) {
	for _, item := range f.Items() {
		if item.Kind == tree.Map {
			longVolume(item)
		} else {
			shortVolume(item)
		}
	}
}

// shortVolume is [source:]target[:options].
func shortVolume(f Field) {
	parts := strings.Split(f.Text(), ":")
	m := v1.VolumeMount{}
	source := ""
	switch len(parts) {
	case 1:
		m.MountPath = parts[0]
	case 2, 3:
		source, m.MountPath = parts[0], parts[1]
	default:
		f.Failed("it is not of the form source:target:options")
		return
	}
	if len(parts) == 3 {
		for _, o := range strings.Split(parts[2], ",") {
			mountOption(f, &m, o)
		}
	}
	place(f, source, &m, "")
}

// mountOption is one of those behind the last colon.
func mountOption(f Field, m *v1.VolumeMount, option string) {
	switch option {
	case "ro":
		m.ReadOnly = true
	case "rw", "", "cached", "delegated", "consistent", "nocopy", "rprivate", "private":
	case "z", "Z":
		f.Changed("%q is left out: directories of the machine are not labelled for a pod. Where SELinux enforces, label it (chcon -Rt container_file_t), or give the container seLinuxOptions", option)
	case "U":
		f.Changed(`"U" is left out: set fsGroup, or change the directory's owner`)
	case "rslave", "slave":
		m.MountPropagation = pointer(v1.MountPropagationHostToContainer)
	case "rshared", "shared":
		propagateBack(f, m)
	default:
		f.Lost("the option %q has no counterpart", option)
	}
}

func propagateBack(f Field, m *v1.VolumeMount) {
	if f.Of.Node.Get("privileged").Bool() {
		m.MountPropagation = pointer(v1.MountPropagationBidirectional)
		return
	}
	m.MountPropagation = pointer(v1.MountPropagationHostToContainer)
	f.Lost("only a privileged container's mounts reach the machine; it sees those of the machine")
}

func longVolume(f Field) {
	m := v1.VolumeMount{MountPath: f.Get("target").Text(), ReadOnly: f.Get("read_only").Bool()}
	source := f.Get("source").Text()
	bind, tmp, vol := f.Child("bind"), f.Child("tmpfs"), f.Child("volume")
	if p := bind.Get("propagation").Text(); p != "" {
		mountOption(bind, &m, p)
	}
	if o := bind.Get("selinux").Text(); o != "" {
		mountOption(bind, &m, o)
	}
	m.SubPath = vol.Get("subpath").Text()
	switch kind := f.Get("type").Text(); kind {
	case "tmpfs":
		memory(f, &m, tmp.Child("size"), tmp.Child("mode"))
	case "image":
		m.SubPath = f.Child("image").Get("subpath").Text()
		m.Name = f.Of.Pod.volume(path.Base(m.MountPath), v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: source, PullPolicy: v1.PullIfNotPresent}})
		f.Of.Mount(m)
	case "bind":
		if !isPath(source) {
			source = "./" + source
		}
		exists := v1.HostPathType("")
		if c := bind.Get("create_host_path"); c != nil && !c.Bool() {
			exists = v1.HostPathDirectory
		}
		place(f, source, &m, exists)
	case "volume", "":
		place(f, source, &m, "")
	default:
		f.Lost("volumes of type %s are not for this machine", kind)
	}
}

// isPath: the source of a volume is a path, not the name of one.
func isPath(source string) bool {
	return strings.HasPrefix(source, "/") || strings.HasPrefix(source, ".") || strings.HasPrefix(source, "~")
}

// place mounts what source leads to.
func place(f Field, source string, m *v1.VolumeMount, kind v1.HostPathType) {
	if !path.IsAbs(m.MountPath) {
		f.Failed("the path in the container, %q, must be absolute", m.MountPath)
		return
	}
	switch {
	case source == "":
		m.Name = f.Of.Pod.volume(path.Base(m.MountPath), v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}})
		f.Changed("a volume without a name is an emptyDir: it goes with the pod; give it a name if its data are to stay")
	case isPath(source):
		hostPath(f, source, m, kind)
	default:
		named(f, source, m)
	}
	if m.Name != "" {
		f.Of.Mount(*m)
	}
}

// hostPath mounts a path of the machine.
func hostPath(f Field, source string, m *v1.VolumeMount, kind v1.HostPathType) {
	full, ok := absolute(f, source)
	if !ok {
		return
	}
	mode, err := f.Of.Project.Kind(full)
	switch {
	case kind != "":
	case err == nil && mode.IsRegular():
		kind = v1.HostPathFile
	case err == nil && mode&fs.ModeSocket != 0:
		kind = v1.HostPathSocket
	case err == nil && mode&fs.ModeCharDevice != 0:
		kind = v1.HostPathCharDev
	case err == nil && mode.IsDir(), errors.Is(err, fs.ErrNotExist) && path.Ext(full) == "":
		kind = v1.HostPathDirectoryOrCreate // as Docker
	case errors.Is(err, fs.ErrNotExist):
		f.Todo("%s is not here, and must be on the machine before the pod starts", full)
	}
	switch {
	case strings.HasSuffix(full, "/docker.sock"):
		f.Todo("there is no Docker behind Solopod, and nothing answers at %s: what uses it needs another way (solopod's own socket has the kubelet's paths)", full)
	case full != source:
		f.Changed("a path in a manifest is absolute: %s. What lies there must be there on the machine", full)
	}
	if !m.ReadOnly && (kind == v1.HostPathDirectory || kind == v1.HostPathDirectoryOrCreate) {
		f.Of.Pod.WritesHost = true
	}
	h := &v1.HostPathVolumeSource{Path: full}
	if kind != "" {
		h.Type = &kind
	}
	m.Name = f.Of.Pod.volume(path.Base(full), v1.VolumeSource{HostPath: h})
}

// absolute makes the path of a bind absolute.
func absolute(f Field, source string) (string, bool) {
	if rest, ok := strings.CutPrefix(source, "~"); ok {
		home, set := f.Of.Project.Lookup("HOME")
		if !set || !path.IsAbs(home) || rest != "" && rest[0] != '/' {
			f.Failed("whose home %q is cannot be known; write the path in full", source)
			return "", false
		}
		return path.Join(home, rest), true
	}
	if path.IsAbs(source) {
		return path.Clean(source), true
	}
	full, err := filepath.Abs(filepath.Join(f.Dir, source))
	if err != nil {
		f.Failed("%v", err)
		return "", false
	}
	return full, true
}

// named mounts a named volume: a claim, or what driver_opts of it say.
func named(f Field, source string, m *v1.VolumeMount) {
	top := f.Of.Project.Volumes.Get(source)
	if top == nil && f.Of.Project.Volumes.Size() > 0 || f.Of.Project.Volumes == nil {
		f.Todo("the volume %s is not among the file's volumes; a claim of that name is made", source)
	}
	name := source
	if n := top.Get("name").Text(); n != "" {
		name = n
	} else if e := top.Get("external"); e != nil && e.Get("name").Text() != "" {
		name = e.Get("name").Text()
	}
	if top != nil && local(f, Field{top, f.Of, "volumes." + source}, m) {
		return
	}
	object, ok := forms.Label(name)
	if !ok {
		f.Failed("nothing of the volume's name %q can stand in a manifest", name)
		return
	}
	if !f.takes("claim", object, name) {
		return
	}
	c := f.Of.Project.claims[object]
	if c == nil {
		at := Field{top, f.Of, "volumes." + source}
		if top == nil || top.Line == 0 {
			at.Node = f.Node
		}
		c = &claim{Field: at, name: object, users: map[*Pod]bool{}}
		f.Of.Project.claims[object] = c
		if object != name {
			at.Changed("it is the claim %s: a name is of small letters, digits and '-'", object)
		}
		f.Once("claim", f.Changed, "a named volume is a claim, a directory of the machine (/var/lib/solopod/claims). It begins empty: Docker fills one with what the image has there. "+
			"To bring its data along see docs/migrating.md")
	}
	c.users[f.Of.Pod] = true
	m.Name = f.Of.Pod.volume(object, v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: object}})
}

// local is a volume of Docker's local driver with options: a path of the machine, or memory.
func local(f, top Field, m *v1.VolumeMount) bool {
	if d := top.Get("driver").Text(); d != "" && d != "local" {
		top.Lost("there are no drivers of volumes: mount it on the machine (/etc/fstab), and use its path; a claim is made instead of %s", d)
		return false
	}
	o := top.Get("driver_opts")
	kind, device, options := o.Get("type").Text(), o.Get("device").Text(), ","+o.Get("o").Text()+","
	switch {
	case o.Size() <= 1:
	case isPath(device) && (strings.Contains(options, ",bind,") || strings.Contains(options, ",rbind,")):
		hostPath(Field{o, f.Of, top.Path + ".driver_opts"}, device, m, v1.HostPathDirectoryOrCreate)
		return m.Name != ""
	case kind == "tmpfs":
		tmpfsOptions(f, m, strings.Trim(options, ","))
		return true
	default:
		top.Lost("mounts of %s are the machine's to make (/etc/fstab, or a systemd mount unit): mount it there, and use its path; a claim is made instead", kind)
	}
	return false
}

// memory mounts memory.
func memory(f Field, m *v1.VolumeMount, limit, mode Field) {
	e := &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}
	if text := limit.Text(); text != "" {
		q, err := forms.Size(text)
		if err != nil {
			limit.Failed("%v", err)
			return
		}
		if !q.IsZero() {
			e.SizeLimit = q
		}
	}
	if text := mode.Text(); text != "" {
		bits, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
		if err != nil || bits > 0o1777 {
			mode.Failed("%q is no file mode; write it like 1777", text)
			return
		}
		e.Mode = pointer(int32(bits))
	}
	if e.SizeLimit == nil {
		f.Changed("memory of a pod without a size is bounded by the pod's limit of memory alone; give it one")
	}
	m.Name = f.Of.Pod.volume(path.Base(m.MountPath), v1.VolumeSource{EmptyDir: e})
	f.Of.Mount(*m)
}

func tmpfs(f Field) {
	for _, item := range f.Items() {
		target, options, _ := strings.Cut(item.Text(), ":")
		if !path.IsAbs(target) {
			item.Failed("the path in the container, %q, must be absolute", target)
			continue
		}
		tmpfsOptions(item, &v1.VolumeMount{MountPath: target}, options)
	}
}

func tmpfsOptions(f Field, m *v1.VolumeMount, options string) {
	limit, mode := f, f
	limit.Node, mode.Node = f.Str(""), f.Str("")
	for _, o := range strings.Split(options, ",") {
		name, value, _ := strings.Cut(o, "=")
		switch name {
		case "size":
			limit.Node = f.Str(value)
		case "mode":
			mode.Node = f.Str(value)
		case "ro":
			m.ReadOnly = true
		case "", "rw", "exec", "nosuid", "nodev", "suid", "dev":
		default:
			f.Lost("the option %q has no counterpart", o)
		}
	}
	memory(f, m, limit, mode)
}

func shmSize(f Field) {
	q, err := forms.Size(f.Text())
	if err != nil {
		f.Failed("%v", err)
		return
	}
	e := &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory, SizeLimit: q}
	f.Of.Mount(v1.VolumeMount{Name: f.Of.Pod.volume("shm", v1.VolumeSource{EmptyDir: e}), MountPath: "/dev/shm"})
}

// devices are paths of the machine, or names of CDI.
func devices(f Field) {
	var cdi []string
	for _, item := range f.Items() {
		source, target, permissions := item.Get("source").Text(), item.Get("target").Text(), item.Get("permissions").Text()
		if item.Kind == tree.Scalar {
			parts := append(strings.Split(item.Text(), ":"), "", "")
			source, target, permissions = parts[0], parts[1], parts[2]
			if source != "" && source[0] != '/' {
				cdi = append(cdi, item.Text())
				continue
			}
		}
		if target == "" {
			target = source
		}
		kind := v1.HostPathCharDev
		mode, err := f.Of.Project.Kind(source)
		base := path.Base(source)
		switch {
		case err == nil && mode.IsDir():
			item.Todo("the devices of a directory can be opened by a privileged container alone; name each of them")
			kind = v1.HostPathDirectory
		case err == nil && mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0, err != nil && isBlock(base):
			kind = v1.HostPathBlockDev
		case err != nil:
			item.Todo("the device is not here; it is taken for a character device (type: CharDevice)")
		}
		name := f.Of.Pod.volume(base, v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: source, Type: &kind}})
		f.Of.Mount(v1.VolumeMount{Name: name, MountPath: target, ReadOnly: permissions != "" && !strings.Contains(permissions, "w")})
	}
	if len(cdi) > 0 {
		f.Of.Annotations["cdi.k8s.io/"+f.Of.Object+"-devices"] = strings.Join(cdi, ",")
	}
}

func isBlock(name string) bool {
	for _, prefix := range []string{"sd", "nvme", "loop", "mmcblk", "vd", "dm-", "md", "xvd", "zram"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// envFile becomes a Secret: such files hold passwords as a rule.
func envFile(f Field) {
	values := map[string]string{}
	for _, item := range f.Items() {
		file, required, raw := item.Text(), true, false
		if item.Kind == tree.Map {
			file, raw = item.Get("path").Text(), item.Get("format").Text() == "raw"
			if r := item.Get("required"); r != nil {
				required = r.Bool()
			}
		}
		if !path.IsAbs(file) {
			file = filepath.Join(f.Dir, file)
		}
		data, err := f.Of.Project.Read(file)
		if err != nil {
			if required || !errors.Is(err, fs.ErrNotExist) {
				item.Failed("%v", err)
			} else {
				item.Lost("%s is not here, and is not required", file)
			}
			continue
		}
		vars, err := composefile.ParseEnv(string(data), f.Of.Project.Lookup, raw)
		if err != nil {
			item.Failed("%s: %v", file, err)
			continue
		}
		for _, v := range vars {
			if !v.Set {
				v.Value, v.Set = f.Of.Project.Lookup(v.Name)
			}
			switch {
			case !v.Set:
			case len(validation.IsConfigMapKey(v.Name)) > 0:
				item.Lost("line %d of %s: %q cannot be the name of a variable", v.Line, file, v.Name)
			default:
				values[v.Name] = v.Value
			}
		}
	}
	if len(values) == 0 {
		return
	}
	secret := &v1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: metav1.ObjectMeta{Name: f.Of.Object + "-env"}, StringData: values}
	f.Of.Project.Add(f, secret)
	f.Of.Container.EnvFrom = append(f.Of.Container.EnvFrom, v1.EnvFromSource{SecretRef: &v1.SecretEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: secret.Name}}})
	f.Changed("its variables are in the Secret %s; the file that holds it must be for root alone (chmod 600)", secret.Name)
}

// content is what a secret or config of the file holds; ok is false where that is kept elsewhere.
func content(f Field, name string) (data []byte, external, ok bool) {
	switch {
	case f.Get("external").Bool() || f.Get("external").Size() > 1:
		return nil, true, true
	case f.Get("content") != nil:
		return []byte(f.Get("content").Text()), false, true
	case f.Get("environment") != nil:
		variable := f.Get("environment").Text()
		value, set := f.Of.Project.Lookup(variable)
		if !set {
			f.Failed("the variable %s, whose value it has, is not set", variable)
			return nil, false, false
		}
		return []byte(value), false, true
	case f.Get("file") != nil:
		file := f.Get("file").Text()
		if !path.IsAbs(file) {
			file = filepath.Join(f.Dir, file)
		}
		data, err := f.Of.Project.Read(file)
		if err != nil {
			f.Failed("%v", err)
			return nil, false, false
		}
		return data, false, true
	}
	f.Failed("what %s holds is not said", name)
	return nil, false, false
}

// grant is an entry of a service's secrets or configs.
type grant struct {
	Field
	source, object, key, target string
	mode                        *int32
}

// grants reads a service's secrets or configs, and makes the objects that hold them.
func grants(f Field, top *tree.Node, kind string, object func(name string) metav1.Object, put func(o metav1.Object, key string, data []byte)) (out []grant) {
	for _, item := range f.Items() {
		g := grant{Field: item, source: item.Text()}
		if item.Kind == tree.Map {
			g.source, g.target = item.Get("source").Text(), item.Get("target").Text()
			for _, key := range []string{"uid", "gid"} {
				if item.Get(key) != nil {
					item.Child(key).Lost("the file belongs to root; set fsGroup, or a mode that lets others read it")
				}
			}
			if m := item.Get("mode"); m != nil {
				bits, err := strconv.ParseUint(strings.TrimPrefix(m.Text(), "0o"), 8, 12)
				if err == nil && bits <= 0o777 {
					g.mode = pointer(int32(bits))
				}
			}
		}
		name := g.source
		def := Field{top.Get(g.source), f.Of, kind + "s." + g.source}
		if def.Node == nil {
			item.Failed("there is no such %s in the file", kind)
			continue
		}
		if n := def.Get("name").Text(); n != "" {
			name = n
		}
		var ok bool
		if g.object, ok = forms.Label(name); !ok {
			item.Failed("nothing of the name %q can stand in a manifest", name)
			continue
		}
		if !item.takes(kind, g.object, name) {
			continue
		}
		if g.key = g.source; len(validation.IsConfigMapKey(g.key)) > 0 {
			g.key = g.object
		}
		if id := kind + "/" + g.object; !f.Of.Project.Made[id] {
			f.Of.Project.Made[id] = true
			data, external, ok := content(def, g.source)
			switch {
			case !ok:
				continue
			case external:
				def.Todo("make a %s %s with the key %s", map[string]string{"secret": "Secret", "config": "ConfigMap"}[kind], g.object, g.key)
			default:
				o := object(g.object)
				put(o, g.key, data)
				f.Of.Project.Add(def, o)
			}
		}
		out = append(out, g)
	}
	return out
}

func secretsOf(f Field) {
	got := grants(f, f.Of.Project.Secrets, "secret", func(name string) metav1.Object {
		return &v1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: metav1.ObjectMeta{Name: name}}
	}, func(o metav1.Object, key string, data []byte) {
		if s := o.(*v1.Secret); utf8.Valid(data) {
			s.StringData = map[string]string{key: string(data)}
		} else {
			s.Data = map[string][]byte{key: data}
		}
	})
	var together []v1.VolumeProjection
	for _, g := range got {
		if g.target == "" {
			g.target = g.source
		}
		item := v1.KeyToPath{Key: g.key, Path: g.target, Mode: g.mode}
		if !path.IsAbs(g.target) {
			together = append(together, v1.VolumeProjection{Secret: &v1.SecretProjection{LocalObjectReference: v1.LocalObjectReference{Name: g.object}, Items: []v1.KeyToPath{item}}})
			continue
		}
		name := f.Of.Pod.volume(g.object, v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: g.object, DefaultMode: mode(g.mode)}})
		f.Of.Mount(v1.VolumeMount{Name: name, MountPath: g.target, SubPath: g.key, ReadOnly: true})
	}
	if len(together) > 0 {
		name := f.Of.Pod.volume("secrets", v1.VolumeSource{Projected: &v1.ProjectedVolumeSource{Sources: together, DefaultMode: mode(nil)}})
		f.Of.Mount(v1.VolumeMount{Name: name, MountPath: "/run/secrets", ReadOnly: true})
	}
	if len(got) > 0 {
		f.Once("secret", f.Changed, "secrets are Secrets; the file that holds them must be for root alone (chmod 600)")
	}
}

// mode is Docker's where nothing is said: everybody may read.
func mode(m *int32) *int32 {
	if m != nil {
		return m
	}
	return pointer(int32(0o444))
}

func configsOf(f Field) {
	got := grants(f, f.Of.Project.Configs, "config", func(name string) metav1.Object {
		return &v1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: name}}
	}, func(o metav1.Object, key string, data []byte) {
		if c := o.(*v1.ConfigMap); utf8.Valid(data) {
			c.Data = map[string]string{key: string(data)}
		} else {
			c.BinaryData = map[string][]byte{key: data}
		}
	})
	for _, g := range got {
		if g.target == "" {
			g.target = "/" + g.source
		}
		if !path.IsAbs(g.target) {
			g.target = "/" + g.target
		}
		name := f.Of.Pod.volume(g.object, v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: g.object}, DefaultMode: mode(g.mode)}})
		f.Of.Mount(v1.VolumeMount{Name: name, MountPath: g.target, SubPath: g.key, ReadOnly: true})
	}
}

// Claims are those of named volumes.
func (p *Project) Claims() (out []Object) {
	for _, name := range slices.Sorted(maps.Keys(p.claims)) {
		c := p.claims[name]
		o := &v1.PersistentVolumeClaim{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}, ObjectMeta: metav1.ObjectMeta{Name: name}}
		o.Spec.AccessModes = []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}
		many := len(c.users) > 1
		for user := range c.users {
			many = many || user.ManyWriters
		}
		if many {
			o.Spec.AccessModes = []v1.PersistentVolumeAccessMode{v1.ReadWriteMany}
		}
		o.Spec.Resources.Requests = v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}
		o.Annotations = claimLabels(c.Get("labels"))
		out = append(out, Object{c.Place, c.Path, o})
	}
	return out
}

// claimLabels keeps the labels of a volume as annotations.
func claimLabels(n *tree.Node) map[string]string {
	out := map[string]string{}
	keep := func(key, value string) {
		if len(validation.IsQualifiedName(strings.ToLower(key))) == 0 {
			out[key] = value
		}
	}
	if n != nil {
		for _, e := range n.Entries {
			keep(e.Key, e.Value.Text())
		}
		for _, item := range n.Items {
			key, value, _ := strings.Cut(item.Text(), "=")
			keep(key, value)
		}
	}
	return out
}

// HasClaim says whether a claim of that name was made.
func (p *Project) HasClaim(name string) bool { return p.claims[name] != nil }

// Carry gives another pod the volumes of mounts.
func (s *Service) Carry(mounts []v1.VolumeMount, to *Pod) (out []v1.VolumeMount) {
	if to == s.Pod {
		return mounts
	}
	for _, m := range mounts {
		for _, v := range s.Pod.Spec.Volumes {
			if v.Name == m.Name {
				m.Name = to.volume(v.Name, v.VolumeSource)
				if c := v.PersistentVolumeClaim; c != nil && s.Project.claims[c.ClaimName] != nil {
					s.Project.claims[c.ClaimName].users[to] = true
				}
				break
			}
		}
		out = append(out, m)
	}
	return out
}
