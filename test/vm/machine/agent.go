package machine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// agent talks to the qemu-guest-agent over its socket: JSON requests and answers, one at a time (QEMU, "QEMU Guest Agent
// Protocol Reference").
type agent struct {
	mu     sync.Mutex
	conn   net.Conn
	reader *bufio.Reader
	tag    int64
}

// answerTime bounds one answer of the agent. Commands run longer; they are asked after.
const answerTime = 30 * time.Second

// dialAgent waits until the agent inside answers.
func dialAgent(ctx context.Context, socket string) (*agent, error) {
	for {
		a, err := tryAgent(socket)
		if err == nil {
			return a, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the machine does not come up: %w", errors.Join(ctx.Err(), err))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func tryAgent(socket string) (*agent, error) {
	conn, err := net.Dial("unix", socket) //nolint:noctx // a local socket
	if err != nil {
		return nil, err
	}
	a := &agent{conn: conn, reader: bufio.NewReader(conn)}
	// What is asked before the agent runs waits in the port, so each try has a tag of its own to be recognized by.
	a.tag = time.Now().UnixNano()
	if err := a.synchronize(2 * time.Second); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return a, nil
}

func (a *agent) synchronize(timeout time.Duration) error {
	if err := a.conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if err := a.send("guest-sync", map[string]any{"id": a.tag}); err != nil {
		return err
	}
	for {
		line, err := a.reader.ReadBytes('\n')
		if err != nil {
			return err
		}
		var answer struct{ Return int64 }
		if json.Unmarshal(line, &answer) == nil && answer.Return == a.tag {
			return nil
		}
	}
}

func (a *agent) send(command string, arguments any) error {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	return json.NewEncoder(a.conn).Encode(request)
}

// call asks for one thing and decodes the answer into result.
func (a *agent) call(command string, arguments, result any) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if err := a.send(command, arguments); err != nil {
		return err
	}
	line, err := a.reader.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	var answer struct {
		Return json.RawMessage
		Error  *struct{ Class, Desc string }
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return fmt.Errorf("%s: %w: %s", command, err, line)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %s", command, answer.Error.Desc)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Return, result)
}

// status is guest-exec-status's answer.
type status struct {
	Exited   bool   `json:"exited"`
	ExitCode int    `json:"exitcode"`
	Signal   int    `json:"signal"`
	Out      []byte `json:"out-data"`
	Err      []byte `json:"err-data"`
}

// exec runs a shell script inside and waits for its end.
func (a *agent) exec(ctx context.Context, script string) (output string, code int, err error) {
	var started struct{ Pid int }
	err = a.call("guest-exec", map[string]any{
		"path": "/bin/sh", "arg": []string{"-c", "exec 2>&1; " + script}, "capture-output": true,
		"env": []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"},
	}, &started)
	if err != nil {
		return "", 0, err
	}
	for pause := 10 * time.Millisecond; ; pause = min(pause*2, 200*time.Millisecond) {
		var s status
		if err := a.call("guest-exec-status", map[string]any{"pid": started.Pid}, &s); err != nil {
			return "", 0, err
		}
		if s.Exited {
			if s.Signal != 0 {
				s.ExitCode = 128 + s.Signal
			}
			return string(s.Out) + string(s.Err), s.ExitCode, nil
		}
		select {
		case <-ctx.Done():
			return "", 0, fmt.Errorf("%w: %s", ctx.Err(), script)
		case <-time.After(pause):
		}
	}
}
