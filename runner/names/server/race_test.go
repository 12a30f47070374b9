//go:build race

package server

// usualRate is less where the race detector takes most of the time.
const usualRate = 1000
