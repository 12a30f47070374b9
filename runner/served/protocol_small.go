//go:build small

package served

// Protocol is TCP, UDP or SCTP. solopod-names is built with this tag: the API's package, of which it would use only this, takes 5 MiB of
// memory in a process that may run for long.
type Protocol string
