//go:build !race

package server

const usualRate = 10000
