// Package logs carries containers' output into CRI log files, without losing or doubling a line when Solopod is killed.
//
// A container writes into FIFOs. Both ends of each are held by the shim too, so that a container is only held back,
// never broken, while Solopod is away. A Pump reads a FIFO into a Journal, a small shared mapping of a file in the state
// directory, and writes from there to the log file. The mapping outlives the process: whatever was read and not yet
// written is written by the next run, and what was half written is cut off and written again.
//
// The journal's life for each batch (the phase is one 64-bit word, stored in one instruction):
//
//	idle ──▶ reading(n) ──read(2)──▶ writing(log size) ──write(2)──▶ idle
//
// Killed while reading: n bytes were announced (FIONREAD) and their first bytes were filled with a marker that no text
// holds; where the marker is gone, the read happened. Killed while writing: the log is cut to the size noted before,
// and the batch is written again.
package logs
