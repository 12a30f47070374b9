//go:build !small

package served

import v1 "k8s.io/api/core/v1"

// Protocol is TCP, UDP or SCTP.
type Protocol = v1.Protocol
