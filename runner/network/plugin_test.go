package network

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/solopod/solopod/runner/network/plugin"
)

// script writes a plugin. $DIR is a directory of its own, which is returned; the child whose id it writes there ends with the test.
func script(t *testing.T, text string) (path, dir string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "plugin")
	t.Cleanup(func() {
		if _, err := os.Stat(filepath.Join(dir, "child")); err == nil {
			unix.Kill(pidIn(t, filepath.Join(dir, "child")), unix.SIGKILL) //nolint:errcheck // it should have ended
		}
	})
	if err := os.WriteFile(path, []byte("#!/bin/sh\nDIR="+dir+"\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path, dir
}

func pidIn(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// runs says whether the process is there and is not only waiting to be buried.
func runs(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !bytes.Contains(stat, []byte(") Z "))
}

// waitFor waits for a file that a plugin makes.
func waitFor(t *testing.T, file string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		if b, err := os.ReadFile(file); err == nil && len(b) > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("there is no %s", file)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// A plugin that hangs ends with its context, and its children with it.
func TestPluginThatHangs(t *testing.T) {
	path, dir := script(t, "sleep 1000 & echo $! > $DIR/child; wait")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := (&plugin.Exec{}).ExecPlugin(ctx, path, nil, nil)
		done <- err
	}()
	waitFor(t, filepath.Join(dir, "child"))
	child := pidIn(t, filepath.Join(dir, "child"))
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "plugin") {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the plugin is waited for")
	}
	for deadline := time.Now().Add(5 * time.Second); runs(child); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the plugin's child lives on")
		}
	}
}

// What plugins say: a result, though a child holds the output; an error of CNI's kind; another one.
func TestPluginResults(t *testing.T) {
	for name, c := range map[string]struct{ text, want, err string }{
		"a result":            {"cat; echo $WORD >&2", "stdin", ""},
		"a child lives on":    {"sleep 1000 & echo $! > $DIR/child; echo result", "result\n", ""},
		"an error that tells": {`echo '{"code": 11, "msg": "no more addresses"}'; exit 1`, "", "no more addresses"},
		"another error":       {"echo $WORD >&2; exit 3", "", "exit status 3: word"},
		"silence":             {"exit 3", "", "exit status 3"},
		"too much":            {"head -c 3000000 /dev/zero", strings.Repeat("\x00", plugin.MaxOutput), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, dir := script(t, c.text)
			out, err := (&plugin.Exec{}).ExecPlugin(t.Context(), path, []byte("stdin"), append(os.Environ(), "WORD=word"))
			if string(out) != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("%d bytes, %v", len(out), err)
			}
			if name == "a child lives on" && !runs(pidIn(t, filepath.Join(dir, "child"))) {
				t.Error("the child has ended")
			}
		})
	}
}

// A pod whose ADD was cancelled gets nothing, and what a plugin gave goes back: at once, or with Detach.
func TestCancelledAttach(t *testing.T) {
	path, dir := script(t, `echo $CNI_COMMAND >> $DIR/log
[ $CNI_COMMAND = ADD ] && { sleep 1000 & echo $! > $DIR/child; echo begun > $DIR/begun; wait; }
[ -e $DIR/broken ] && exit 1
exit 0
`)
	conf := filepath.Join(dir, "conf")
	broken := filepath.Join(dir, "broken")
	err := errors.Join(os.Mkdir(conf, 0o755), os.WriteFile(broken, nil, 0o600), os.WriteFile(filepath.Join(conf, "1.conflist"),
		[]byte(`{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "`+filepath.Base(path)+`"}]}`), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	n := New(Config{CNIBinDirs: []string{dir}, CNIConfDir: conf, CNICacheDir: filepath.Join(dir, "cache"), Bridge: "solopodt" + filepath.Base(t.TempDir())})
	pod := Pod{UID: "u", Namespace: "ns", Name: "web", Netns: "/proc/self/ns/net"}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := n.Attach(ctx, pod)
		done <- err
	}()
	waitFor(t, filepath.Join(dir, "begun"))
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(undoLimit + 10*time.Second):
		t.Fatal("the plugin is waited for")
	}
	if err := n.Detach(t.Context(), pod); err == nil {
		t.Error("a DEL that fails is not told")
	}
	if err := os.Remove(broken); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it can be repeated, and asks nobody any more
		if err := n.Detach(t.Context(), pod); err != nil {
			t.Error(err)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if want := "ADD\nDEL\nDEL\nDEL\n"; err != nil || string(log) != want {
		t.Errorf("the plugin was asked for %q, %v", log, err)
	}
}
