// Man writes the manual pages of all commands, from their help texts, into a directory.
//
//	man bin/man
package main

import (
	"log"
	"os"

	"github.com/spf13/cobra/doc"

	"github.com/solopod/solopod/cli"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: man DIRECTORY")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal("man: ", err)
	}
}

func run(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root := cli.Command()
	root.DisableAutoGenTag = true // pages that are the same for the same program
	return doc.GenManTree(root, &doc.GenManHeader{Title: "SOLOPOD", Section: "1", Source: "Solopod", Manual: "Solopod"}, dir)
}
