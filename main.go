// Solopod runs static pods on containerd, without a cluster.
package main

import (
	"os"

	"github.com/solopod/solopod/cli"
)

func main() { os.Exit(cli.Main()) }
