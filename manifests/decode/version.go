package decode

import (
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/solopod/solopod/manifests"
)

// declare notes an object of the file, and the version that it says the file has.
func (d *decoder) declare(w *walker, path, kind string, object metav1.Object) {
	d.contents.Declared = append(d.contents.Declared, manifests.ObjectName(kind, object))
	text, ok := object.GetAnnotations()[manifests.VersionAnnotation]
	if !ok {
		return
	}
	message := ""
	version, err := parseVersion(text)
	switch {
	case err != nil:
		message = err.Error()
	case d.contents.Version != 0 && d.contents.Version != version:
		message = fmt.Sprintf("is %d here and %d before, and it is the version of the file: write the same in both places, or part the file", version, d.contents.Version)
	default:
		d.contents.Version = version
	}
	if message != "" {
		d.report(w, path, manifests.Problems{{Path: "metadata.annotations." + manifests.VersionAnnotation, Message: message}})
	}
}

// parseVersion reads a version: one spelling for each number, so that no two texts are the same version.
func parseVersion(text string) (uint64, error) {
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 1 || strconv.FormatInt(v, 10) != text {
		return 0, fmt.Errorf("invalid version %q: write a whole number from 1 up, which grows with each version, like \"7\" or what date +%%s says", text)
	}
	return uint64(v), nil
}
