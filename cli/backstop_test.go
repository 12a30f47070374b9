package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/solopod/solopod/internal/stuck"
)

// The process ends in time although several parts hang one after the other, and says which: or later by as much as pods were given.
func TestBackstop(t *testing.T) {
	for name, extended := range map[string]time.Duration{"": 0, "pods are stopped": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said bytes.Buffer
				before := slog.Default()
				slog.SetDefault(slog.New(slog.NewTextHandler(&said, nil)))
				defer slog.SetDefault(before)
				ctx, terminate := context.WithCancel(t.Context())
				exited := make(chan int)
				b := newBackstop(ctx, func(code int) { exited <- code })
				b.flushes(func(limit time.Duration) { time.Sleep(limit) }) //nolint:forbidigo // virtual time
				defer b.disarm()
				hang := make(chan struct{})
				defer close(hang)
				b.during("the past", func() {})
				go b.during("the disk", func() { <-hang })
				go b.part("the network", func() error { <-hang; return nil })() //nolint:errcheck // it has none
				time.Sleep(time.Hour)                                           //nolint:forbidigo // virtual time
				begun := time.Now()
				terminate()
				if extended > 0 {
					b.extend(extended)
				}
				if code := <-exited; code != 0 {
					t.Errorf("exit code %d", code)
				}
				if took := time.Since(begun); took != endLimit+lastFlush+extended || took > 10*time.Second+extended {
					t.Errorf("it took %s", took)
				}
				synctest.Wait()
				if !strings.Contains(said.String(), `hangs="the disk, the network"`) {
					t.Errorf("it said %s", said.String())
				}
			})
		})
	}
}

// A part of the start that takes long is named, once; what goes on for the daemon's life, or is done quickly, is not.
func TestSlowStartIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&said, nil)))
		defer slog.SetDefault(before)
		b := newBackstop(t.Context(), func(int) { t.Error("it ends the process") })
		defer b.disarm()
		hang := make(chan struct{})
		go b.part("the network", func() error { <-hang; return nil })()       //nolint:errcheck // it has none
		b.start("the configuration", func() { time.Sleep(startSilence / 2) }) //nolint:forbidigo // virtual time
		b.start("the disk", func() { time.Sleep(time.Hour) })                 //nolint:forbidigo // virtual time
		close(hang)
		synctest.Wait()
		if lines := strings.Split(strings.TrimSpace(said.String()), "\n"); len(lines) != 1 || !strings.Contains(lines[0], "the start waits for the disk; does a disk hang?") {
			t.Errorf("it said %q", lines)
		}
	})
}

// A daemon that ends in time is left alone.
func TestBackstopIsNotNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, terminate := context.WithCancel(t.Context())
		b := newBackstop(ctx, func(int) { t.Error("it ends the process") })
		terminate()
		time.Sleep(endLimit - time.Second) //nolint:forbidigo // virtual time
		b.disarm()
		time.Sleep(time.Hour) //nolint:forbidigo // virtual time
	})
}

// systemd is asked at once when the daemon is told to end, and else by who wants to know.
func TestAskAtEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context) bool {
			time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
			return true
		}
		for _, told := range []bool{true, false} {
			ctx, terminate := context.WithCancel(t.Context())
			answer, forget := askAtEnd(ctx, slow)
			want := 5 * time.Second
			if told {
				terminate()
				time.Sleep(3 * time.Second) //nolint:forbidigo // virtual time
				want -= 3 * time.Second
			}
			begun := time.Now()
			if down := answer(); !down || time.Since(begun) != want {
				t.Errorf("told %t: %t after %s", told, down, time.Since(begun))
			}
			forget()
			terminate()
		}
	})
}

// A daemon that is started with SIGHUP ignored, as by nohup, goes on ignoring it.
func TestHangupIgnored(t *testing.T) {
	signal.Ignore(syscall.SIGHUP)
	defer func() { // Reset would leave it ignored
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGHUP)
		signal.Stop(c)
	}()
	_, stop := untilHangup(t.Context())
	defer stop()
	if !signal.Ignored(syscall.SIGHUP) {
		t.Error("it is not ignored any more")
	}
}

// SIGTERM ends a daemon whose start hangs in a system call, and so does SIGHUP.
func TestEndOfAStartThatHangs(t *testing.T) {
	if args := os.Getenv("SOLOPOD_TEST_RUN"); args != "" { // the daemon
		cmd := Command()
		cmd.SetArgs(strings.Fields(args))
		ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
		defer stop()
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) // one that comes too early for the command must not kill
		fmt.Println("ready")
		if err := cmd.ExecuteContext(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	hangs := t.TempDir()
	stuck.FileSystem(t, hangs)
	for name, start := range map[string]struct {
		part, args string
		signal     os.Signal
	}{
		"the configuration": {"the configuration", "--config %s/config.yaml", syscall.SIGTERM},
		"a hangup":          {"the configuration", "--config %s/config.yaml", syscall.SIGHUP},
		"the root":          {"", "--root %s/root --state " + t.TempDir(), syscall.SIGTERM},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			daemon := exec.Command(os.Args[0], "-test.run=^TestEndOfAStartThatHangs$")
			daemon.Env = append(os.Environ(), "SOLOPOD_TEST_RUN=run "+fmt.Sprintf(start.args, hangs))
			var said bytes.Buffer
			daemon.Stderr = &said
			out, err := daemon.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := daemon.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
				t.Errorf("it says %q, %v", line, err)
			}
			begun := time.Now()
			kill := time.AfterFunc(20*time.Second, func() { daemon.Process.Kill() }) //nolint:errcheck // it may have ended
			defer kill.Stop()
			ended := make(chan error)
			go func() { ended <- daemon.Wait() }()
			again := time.NewTicker(50 * time.Millisecond)
			defer again.Stop()
			for on := true; on; {
				daemon.Process.Signal(start.signal) //nolint:errcheck // it may have ended
				select {
				case err = <-ended:
					on = false
				case <-again.C:
				}
			}
			if took := time.Since(begun); took > 12*time.Second {
				t.Errorf("it took %s", took)
			}
			if start.part != "" && (err != nil || !strings.Contains(said.String(), start.part)) {
				t.Errorf("%v, %s", err, said.String())
			}
		})
	}
}
