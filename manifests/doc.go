// Package manifests holds the desired state: which pods should run, and what is said about the files that say so. It is
// plain types and pure functions for all others; it does no I/O.
//
// The way of a file: source (notices a change, reads what is complete) -> decode (strict, with positions; defaults as the API
// server's) -> validate -> Set (which file's pods count). A file that cannot be used never changes what runs: the last good
// version of its pods stays desired.
package manifests
