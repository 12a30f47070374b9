// Package manifests holds the desired state: it reads Kubernetes manifests, strictly, and says which pods should run.
//
// The way of a file: Directory (notices a change) -> Decode (strict, with positions) -> defaults (the API server's) ->
// validate -> Set (which file's pods count). A file that cannot be used never changes what runs: the last good version
// of its pods stays desired.
//
// The package imports nothing of Solopod's, acts on nothing and writes nothing.
package manifests
