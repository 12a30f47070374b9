package network

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	onePlugin = `{"cniVersion":"1.0.0","name":"one","type":"loopback"}`
	aList     = `{"cniVersion":"1.1.0","name":"some","plugins":[{"type":"loopback"},{"type":"portmap"}]}`
)

// The configuration is a list of plugins, or a single one, and what is none is an error: it neither holds up nor is read whole.
func TestConfiguration(t *testing.T) {
	write := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte(text), 0o644) }
	}
	for name, c := range map[string]struct {
		file string
		make func(path string) error
		want string // the network and its plugins
		err  string
	}{
		"none":     {"00-x.conflist", func(string) error { return nil }, "", ""},
		"a list":   {"00-x.conflist", write(aList), "some: loopback portmap", ""},
		"a plugin": {"00-x.conf", write(onePlugin), "one: loopback", ""},
		"a link": {"00-x.conf", func(path string) error {
			return errors.Join(write(onePlugin)(path+".real"), os.Symlink(path+".real", path))
		}, "one: loopback", ""},
		"apart": {"00-x.conflist", func(path string) error {
			dir := filepath.Join(filepath.Dir(path), "apart")
			return errors.Join(write(`{"cniVersion":"1.1.0","name":"apart"}`)(path), os.Mkdir(dir, 0o755), write(`{"type":"loopback"}`)(filepath.Join(dir, "10.conf")))
		}, "apart: loopback", ""},
		"nothing": {"00-x.conflist", write(`{"cniVersion":"1.1.0","name":"nothing","plugins":[]}`), "", "plugin"},
		"a FIFO":  {"00-x.conflist", func(path string) error { return unix.Mkfifo(path, 0o644) }, "", "00-x.conflist"},
		"a FIFO apart": {"00-x.conflist", func(path string) error {
			dir := filepath.Join(filepath.Dir(path), "apart")
			return errors.Join(write(`{"cniVersion":"1.1.0","name":"apart"}`)(path), os.Mkdir(dir, 0o755), unix.Mkfifo(filepath.Join(dir, "10.conf"), 0o644))
		}, "", "00-x.conflist"},
		"a FIFO of one plugin": {"00-x.conf", func(path string) error { return unix.Mkfifo(path, 0o644) }, "", "00-x.conf"},
		"huge":                 {"00-x.conf", func(path string) error { return errors.Join(write("")(path), os.Truncate(path, 1<<40)) }, "", "00-x.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := c.make(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
			type answer struct {
				got string
				err error
			}
			answers := make(chan answer, 1)
			go func() {
				list, err := newCNI(Config{CNIConfDir: dir}).load()
				var a answer
				if a.err = err; list != nil {
					a.got = list.Name + ":"
					for _, p := range list.Plugins {
						a.got += " " + p.Network.Type
					}
				}
				answers <- a
			}()
			select {
			case a := <-answers:
				if a.got != c.want || (a.err == nil) != (c.err == "") || a.err != nil && !strings.Contains(a.err.Error(), c.err) {
					t.Errorf("%q, %v", a.got, a.err)
				}
			case <-time.After(10 * time.Second):
				t.Error("it waits for what is there")
			}
		})
	}
}
