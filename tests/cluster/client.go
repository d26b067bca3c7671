package main

import (
	"fmt"
	"net"
	"net/rpc"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// client speaks to the PID 1 of a cluster or node.
type client struct{ socket string }

func (c *client) call(method string, argument, answer any) error {
	connection, err := net.Dial("unix", c.socket)
	if err != nil {
		return err
	}
	client := rpc.NewClient(connection)
	defer client.Close()
	return client.Call("Init."+method, argument, answer)
}

func (c *client) start(what Process) (pid int, err error) {
	return pid, c.call("Start", what, &pid)
}

// run runs a command there and fails if the command does.
func (c *client) run(input string, arguments ...string) (string, error) {
	var outcome Outcome
	if err := c.call("Run", Process{Arguments: arguments, Input: input}, &outcome); err != nil {
		return "", err
	}
	if outcome.Status != 0 {
		return outcome.Output, fmt.Errorf("%s: %s", strings.Join(arguments, " "), strings.TrimSpace(outcome.Output))
	}
	return outcome.Output, nil
}

// links carries out lines of `ip -batch`.
func (c *client) links(lines ...string) error {
	_, err := c.run(strings.Join(lines, "\n")+"\n", "ip", "-batch", "-")
	return err
}

// processID is PID 1's id as this process sees it: the kernel translates what it knows of the socket's owner.
func (c *client) processID() (int, error) {
	connection, err := net.Dial("unix", c.socket)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	raw, err := connection.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *syscall.Ucred
	var asked error
	err = raw.Control(func(file uintptr) {
		credentials, asked = syscall.GetsockoptUcred(int(file), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, asked
	}
	return int(credentials.Pid), nil
}

// answers waits until PID 1 does; if it does not, its log says why.
func (c *client) answers(log string) error {
	err := until(10*time.Second, "PID 1", func() error { _, err := c.processID(); return err })
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(log))
	}
	return nil
}

// endsWithThis makes the kernel kill a command on the machine when this process is killed: it is outside of the cluster's
// PID namespace, and would wait for an answer from there for ten seconds. The signal follows the thread that started it,
// and Go ends none that no goroutine was locked to.
func endsWithThis() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// lookPath also finds what an administrator's PATH has and a user's may lack.
func lookPath(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, folder := range []string{"/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(folder + program); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no %q on this machine", program)
}
