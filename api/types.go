// Package api is Solopod's HTTP interface, on a unix socket and, for reading, on a TCP port, and the Go client for it.
//
// Paths and forms are the kubelet's where it has them. What the kubelet has no path for: /manifests, /images, /version
// and /events.
package api

import (
	"time"

	"github.com/solopod/solopod/manifests"
)

// Version answers /version.
type Version struct {
	Version    string `json:"version"`
	Commit     string `json:"commit"`
	GoVersion  string `json:"goVersion"`
	Containerd string `json:"containerd,omitempty"`
}

// Manifests answers /manifests.
type Manifests struct {
	// DirectoryError says why the directory as a whole cannot be used.
	DirectoryError string `json:"directoryError,omitempty"`
	// Unwatched says why changes of the directory are noticed late.
	Unwatched string           `json:"unwatched,omitempty"`
	Files     []manifests.File `json:"files"`
}

// Image is one row of /images.
type Image struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	// RepoDigests are names that mean this content and no other, as in a pod's image.
	RepoDigests []string  `json:"repoDigests"`
	Size        int64     `json:"size"` // bytes of the image's content
	CreatedAt   time.Time `json:"createdAt"`
}

// Images answers /images.
type Images struct {
	Images []Image `json:"images"`
}
