// Package logs carries containers' output into CRI log files, without losing or doubling a line when Solopod is killed.
// Below it: package cri is the files' format, logfile their places and rotation, journal what was read and is not written yet, spool
// what a disk did not take, and reader what shows logs.
//
// A container writes into FIFOs. Both ends of each are held by the shim too, so that a container is only held back,
// never broken, while Solopod is away. A Pump reads a FIFO into a journal, a small shared mapping of a file in the state
// directory, and writes from there to the log file. The mapping outlives the process: whatever was read and not yet
// written is written by the next run, and what was half written is cut off and written again.
//
// Nothing here trusts a disk. A journal's file has its blocks before it is mapped, and a fault of the mapping is an error;
// without a file the journal is in memory, and only a kill can then cost output. A log file that cannot be written holds
// its container back while that runs; after its end a Spool keeps the rest. Each stream has a goroutine that does its
// I/O, and nobody else waits for it longer than they say.
//
// The directories of the logs are shared with pods that collect them: below the pods' common directory no link is followed,
// and only regular files of root's or Solopod's own user are written or read.
package logs
