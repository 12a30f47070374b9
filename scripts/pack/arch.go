package main

import "runtime"

func architecture() string { return runtime.GOARCH }
