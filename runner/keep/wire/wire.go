// Package wire is what the keeper and its client say to each other: one message per packet of a SOCK_SEQPACKET unix
// socket, its first byte an operation, the rest a key. It is apart so that the keeper links nothing else.
//
// A keeper outlives upgrades of its client, and the other way round: operations are added and keep their meaning. A keeper of before
// Version answers nothing and passes over what it does not know; who asks it gives up after a while.
package wire

// Operations.
const (
	// Hold keeps the file descriptors that come with the message (SCM_RIGHTS) under the key, in place of older ones.
	Hold = 'h'
	// Drop closes what is held under the key; what was served ends.
	Drop = 'd'
	// Only drops every key that this connection has not named with Hold or Serve.
	Only = 'o'
	// OnlyHeld is Only, but for what is served: that goes on until it is served by this connection, or dropped.
	OnlyHeld = 'p'
	// Ask is answered by Protocol as one byte.
	Ask = 'v'
	// Serve keeps sockets that this connection serves itself: after the key come, each behind a zero byte, the path of a program and its
	// argument; the descriptors are those that the program gets, from ProgramFiles on. A program that serves them ends. When the
	// connection ends the program is started, and started again for as long as nobody serves.
	Serve = 's'
	// Leave has the program started while the connection still lasts.
	Leave = 'l'
	// Take is answered by what is kept to be served under the key: its descriptors, and why the program ended last, if it has failed.
	Take = 't'
)

// Protocol is what the keeper of this version speaks.
const Protocol = 1

// Socket is the name of the socket in the directory that the keeper is given.
const Socket = "keep.sock"

// Listener is the file descriptor at which the keeper finds its listening socket when it starts.
const Listener = 3

// MaxFiles is how many file descriptors one message carries at most. Keepers of before Protocol have room for 3.
const MaxFiles = 16

// MaxMessage is the longest message in bytes.
const MaxMessage = 4096

// A program that serves finds its connection to the keeper at ProgramControl, and what it was given from ProgramFiles on. It is asked with
// Ping whether it still lives and answers with the same; Failed, with the reason behind it, is the last that one says that cannot serve.
// The end of the connection says that the keeper was killed: the program goes on until SIGTERM.
const (
	ProgramControl = 3
	ProgramFiles   = 4
	Ping           = 'a'
	Failed         = 'f'
)
