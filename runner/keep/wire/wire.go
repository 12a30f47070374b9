// Package wire is what the keeper and its client say to each other: one message per packet of a SOCK_SEQPACKET unix
// socket, its first byte an operation, the rest a key. It is apart so that the keeper links nothing else.
package wire

// Operations.
const (
	// Hold keeps the file descriptors that come with the message (SCM_RIGHTS) under the key, in place of older ones.
	Hold = 'h'
	// Drop closes what is held under the key.
	Drop = 'd'
	// Only drops every key that this connection has not named with Hold.
	Only = 'o'
)

// Socket is the name of the socket in the directory that the keeper is given.
const Socket = "keep.sock"

// Listener is the file descriptor at which the keeper finds its listening socket when it starts.
const Listener = 3

// MaxFiles is how many file descriptors one message carries at most.
const MaxFiles = 3

// MaxMessage is the longest message in bytes.
const MaxMessage = 4096
