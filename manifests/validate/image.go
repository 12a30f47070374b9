package validate

import (
	"strings"

	"github.com/distribution/reference"

	"github.com/solopod/solopod/manifests/validate/findings"
)

// checkImage checks the reference of an image. The API server takes any text, and the kubelet then waits for ever (InvalidImageName).
func checkImage(out *findings.Collector, at, image string) {
	switch {
	case image == "":
		out.Errorf(at, "an image is required")
		return
	case strings.TrimSpace(image) != image || strings.ContainsAny(image, " \t\n"):
		out.Errorf(at, "%q must not contain blanks", image)
		return
	}
	if !valid(image) {
		out.Errorf(at, "%q is no reference of an image%s", image, imageHint(image))
	}
}

// valid says whether a pull, and a look into the images that are there, could read the reference.
func valid(image string) bool {
	_, err := reference.ParseDockerRef(image)
	return err == nil
}

// imageHint says what is wrong with a reference, and what may have been meant.
func imageHint(image string) string {
	scheme, rest, found := strings.Cut(image, "://")
	switch {
	case found && rest != "":
		return ": it has no " + scheme + "://; write " + strings.ToLower(rest)
	case strings.ToLower(image) != image:
		name, tag := image, ""
		if at := strings.IndexAny(image[strings.LastIndex(image, "/")+1:], ":@"); at >= 0 {
			at += strings.LastIndex(image, "/") + 1
			name, tag = image[:at], image[at:]
		}
		if lower := strings.ToLower(name) + tag; valid(lower) {
			return ": names of images are in lower case; write " + lower
		}
	}
	return "; write it like registry.example/name:tag"
}
