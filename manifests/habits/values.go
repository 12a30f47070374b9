package habits

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// maxValue bounds, in bytes, the values that are turned into an example.
const maxValue = 200

// plain: a text that can be shown in an example.
func plain(text string) bool {
	return text != "" && len(text) <= maxValue && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Object says how a text that stands in the place of an object of a type of the API is written; empty where nothing is known.
func Object(owner, text string) string {
	if !plain(text) || strings.ContainsAny(text, "{}[]") {
		return ""
	}
	switch owner {
	case "ContainerPort":
		return port(text)
	case "ServicePort":
		host, container, ok := strings.Cut(text, ":")
		if _, err := strconv.ParseUint(host+container, 10, 32); err == nil && ok {
			return fmt.Sprintf("write {port: %s, targetPort: %s}", host, container)
		}
		return "write {port: 80, targetPort: 8080}"
	case "EnvVar":
		name, value, _ := strings.Cut(text, "=")
		return fmt.Sprintf("write {name: %s, value: %q}", name, value)
	case "VolumeMount", "Volume":
		return mount(owner, text)
	case "HostAlias":
		if name, ip, ok := strings.Cut(text, ":"); ok {
			return fmt.Sprintf("write {ip: %q, hostnames: [%s]}", ip, name)
		}
	case "HostPathVolumeSource":
		return fmt.Sprintf("write {path: %s}", text)
	case "PersistentVolumeClaimVolumeSource":
		return fmt.Sprintf("write {claimName: %s}", text)
	case "SecretVolumeSource":
		return fmt.Sprintf("write {secretName: %s}", text)
	case "LocalObjectReference", "ConfigMapVolumeSource", "ConfigMapEnvSource", "SecretEnvSource", "Container":
		return fmt.Sprintf("write {name: %s}", text)
	case "ExecAction":
		return fmt.Sprintf("write {command: %s}", words2list(text))
	case "HTTPGetAction":
		return "write {path: /healthz, port: 8080}"
	case "TCPSocketAction":
		return fmt.Sprintf("write {port: %s}", text)
	}
	return ""
}

// List says how a text, or an object, that stands in the place of a list is written. item is the type of the list's items: one of
// the API, or string. text is empty for an object, whose first key is key then.
func List(item, text, key string) string {
	switch {
	case item == "EnvVar" && plain(key):
		return fmt.Sprintf("write [{name: %s, value: ...}]", key)
	case item == "string" && plain(text):
		return "write " + words2list(text)
	case text != "":
		if said, ok := strings.CutPrefix(Object(item, text), "write "); ok && strings.HasPrefix(said, "{") {
			return "write [" + said + "]"
		}
	}
	return ""
}

// Number says how a text in the place of a whole number is written; empty where that is not plain.
func Number(text string) string {
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		return "write it without quotes: " + text
	}
	if n, ok := strings.CutSuffix(text, "s"); ok {
		if _, err := strconv.ParseInt(n, 10, 64); err == nil {
			return "it is in seconds: write " + n
		}
	}
	if n, ok := strings.CutSuffix(text, "m"); ok {
		if minutes, err := strconv.ParseInt(n, 10, 32); err == nil {
			return "it is in seconds: write " + strconv.FormatInt(minutes*60, 10)
		}
	}
	return ""
}

// words2list writes a line as a list of words. One that only a shell understands stays a line.
func words2list(line string) string {
	if strings.ContainsAny(line, "|&;<>()$`\"'*?~#\\") {
		return fmt.Sprintf(`["sh", "-c", %q]`, line)
	}
	var quoted []string
	for _, w := range strings.Fields(line) {
		quoted = append(quoted, strconv.Quote(w))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// port reads compose's [[IP:]HOST:]CONTAINER[/PROTOCOL].
func port(text string) string {
	text, protocol, _ := strings.Cut(text, "/")
	parts := strings.Split(text, ":")
	last := parts[len(parts)-1]
	for _, p := range parts[max(len(parts)-2, 0):] {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return "write {containerPort: 80, hostPort: 8080}"
		}
	}
	out := "{containerPort: " + last
	if len(parts) > 1 {
		out += ", hostPort: " + parts[len(parts)-2]
	}
	if len(parts) == 3 {
		out += fmt.Sprintf(", hostIP: %q", parts[0])
	}
	if protocol != "" {
		out += ", protocol: " + strings.ToUpper(protocol)
	}
	return "write " + out + "}"
}

// mount reads compose's SOURCE:TARGET[:OPTIONS].
func mount(owner, text string) string {
	source, target, ok := strings.Cut(text, ":")
	target, options, _ := strings.Cut(target, ":")
	if !ok {
		if owner == "Volume" {
			return fmt.Sprintf("write {name: %s, persistentVolumeClaim: {claimName: %[1]s}}", source)
		}
		target, source = source, "data"
	}
	volume, name := fmt.Sprintf("{name: %s, persistentVolumeClaim: {claimName: %[1]s}}", source), source
	if strings.HasPrefix(source, "/") {
		volume, name = fmt.Sprintf("{name: data, hostPath: {path: %s}}", source), "data"
	} else if strings.HasPrefix(source, ".") || strings.HasPrefix(source, "~") {
		volume, name = "{name: data, hostPath: {path: /an/absolute/path}}", "data"
	}
	readOnly := ""
	if strings.Contains(options, "ro") {
		readOnly = ", readOnly: true"
	}
	return fmt.Sprintf("write %s into volumes of the pod's spec, and {name: %s, mountPath: %s%s} into the container's volumeMounts", volume, name, target, readOnly)
}
