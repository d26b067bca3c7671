package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// The open files that `up` gives to a cluster's PID 1, after the standard three.
const (
	lockFile  = 3
	leaseFile = 4
	// Only with --publish.
	publishedFile = 5
)

// What `up` writes into the lease when the cluster shall outlive it. Before that, its death is the cluster's.
const detached = "detached"

// runInit is PID 1 of a cluster, or of one of its nodes, in namespaces of its own.
//
// Everything that a cluster runs descends from it, so its end, by SIGKILL too, is the end of every process, mount,
// network interface and network namespace of the cluster: the kernel sees to that. Nodes are nested the same way. It
// knows nothing of Kubernetes: it starts what it is told to, and takes in orphans.
func runInit(arguments []string) error {
	flags := flag.NewFlagSet("init", flag.ContinueOnError)
	node := flags.Bool("node", false, "with /var/lib, /var/log and /run of its own")
	published := flags.String("publish", "", "the address inside to which the machine's port leads")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	folder := flags.Arg(0)
	// Without this the mounts made below would appear on the machine as well.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if *node {
		if err := mountOwn(folder); err != nil {
			return err
		}
	}
	state := &Init{running: map[int]*process{}, named: map[string]*process{}}
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go state.reap(children)

	server := rpc.NewServer()
	if err := server.RegisterName("Init", state); err != nil {
		return err
	}
	listener, err := net.Listen("unix", filepath.Join(folder, "init.sock"))
	if err != nil {
		return err
	}
	go server.Accept(listener)

	ends := make(chan os.Signal, 1)
	if *node {
		signal.Notify(ends, syscall.SIGTERM)
		<-ends
		state.end()
		return nil
	}
	syscall.CloseOnExec(lockFile)
	syscall.CloseOnExec(leaseFile)
	if *published != "" {
		// Close-on-exec, as all that Go opens.
		listener, err := net.FileListener(os.NewFile(publishedFile, "published"))
		if err != nil {
			return fmt.Errorf("publish %s: %w", *published, err)
		}
		syscall.CloseOnExec(publishedFile)
		go publish(listener, *published)
	}
	signal.Notify(ends, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		if said, _ := io.ReadAll(os.NewFile(leaseFile, "lease")); string(said) != detached {
			ends <- syscall.SIGTERM
		}
	}()
	<-ends
	state.endNodes()
	state.end()
	// Its other end, on the machine, goes with it. The namespace would take it along as well, but later.
	var outcome Outcome
	_ = state.Run(Process{Arguments: []string{"ip", "link", "delete", "host"}}, &outcome)
	return remove(filepath.Base(folder))
}

// A node's files, where containerd and the kubelet look for them. The machine's own stay out of their reach.
func mountOwn(folder string) error {
	for _, own := range []string{"lib", "log"} {
		if err := os.MkdirAll(filepath.Join(folder, own), 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(filepath.Join(folder, own), filepath.Join("/var", own), "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount /var/%s: %w", own, err)
		}
	}
	if err := syscall.Mount("run", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	return nil
}

// Init is the service that PID 1 offers over its socket, by net/rpc.
type Init struct {
	mutex   sync.Mutex
	running map[int]*process
	// The last process of each name that was started.
	named map[string]*process
}

// Process is what to start.
type Process struct {
	// By which it is asked about. Empty: a passing command, whose output is the answer.
	Name      string
	Arguments []string
	// What the program is told that it is called, if not as its file.
	As string
	// Added to this process's own.
	Environment []string
	// Written to its standard input, which is then closed; at most a pipe's 64 KiB.
	Input string
	// The file that its output is added to.
	Log string
	// A nested PID 1: with process ids, network and mounts of its own.
	Namespaces bool
}

// Outcome is how a passing command ended.
type Outcome struct {
	Status int
	Output string
}

type process struct {
	pid    int
	status syscall.WaitStatus
	// Closed when it has been reaped.
	ended chan struct{}
	// Whether it is the PID 1 of a node.
	node bool
}

// Start starts a process that goes on, and answers with its id in this PID namespace.
func (i *Init) Start(what Process, pid *int) error {
	log, err := os.OpenFile(what.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	started, err := i.start(what, log)
	if err == nil {
		*pid = started.pid
	}
	return err
}

// Run runs a command to its end.
func (i *Init) Run(what Process, outcome *Outcome) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	started, err := i.start(what, writer)
	writer.Close()
	if err != nil {
		return err
	}
	output, err := io.ReadAll(reader)
	<-started.ended
	*outcome = Outcome{started.status.ExitStatus(), string(output)}
	return err
}

// Ended answers with how the named processes ended that did.
func (i *Init) Ended(_ struct{}, ended *map[string]string) error {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	*ended = map[string]string{}
	for name, process := range i.named {
		select {
		case <-process.ended:
			(*ended)[name] = fmt.Sprintf("status %d, signal %d", process.status.ExitStatus(), process.status.Signal())
		default:
		}
	}
	return nil
}

// PID answers with a named process's id in this PID namespace.
func (i *Init) PID(name string, pid *int) error {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	process, found := i.named[name]
	if !found {
		return fmt.Errorf("no process %q", name)
	}
	*pid = process.pid
	return nil
}

func (i *Init) start(what Process, output *os.File) (*process, error) {
	input, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer input.Close()
	_, err = writer.WriteString(what.Input)
	writer.Close()
	if err != nil {
		return nil, err
	}
	attributes := &os.ProcAttr{
		Env:   append(os.Environ(), what.Environment...),
		Files: []*os.File{input, output, output},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	}
	if what.Namespaces {
		attributes.Sys.Cloneflags = syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS
	}
	program, err := lookPath(what.Arguments[0])
	if err != nil {
		return nil, err
	}
	// Held until it is in the table, so that its end cannot come before.
	i.mutex.Lock()
	defer i.mutex.Unlock()
	arguments := append([]string{cmp.Or(what.As, program)}, what.Arguments[1:]...)
	handle, err := os.StartProcess(program, arguments, attributes)
	if err != nil {
		return nil, err
	}
	started := &process{pid: handle.Pid, ended: make(chan struct{}), node: what.Namespaces}
	_ = handle.Release()
	i.running[started.pid] = started
	if what.Name != "" {
		i.named[what.Name] = started
	}
	return started, nil
}

// reap takes in every child that ended, orphans too; nobody else in this process may wait for one.
func (i *Init) reap(children <-chan os.Signal) {
	for range children {
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			if err != nil || pid <= 0 {
				break
			}
			i.mutex.Lock()
			if process, found := i.running[pid]; found {
				process.status = status
				close(process.ended)
				delete(i.running, pid)
			}
			i.mutex.Unlock()
		}
	}
}

// endNodes ends the nodes first, while the control plane still answers the last packets of their connections.
func (i *Init) endNodes() {
	i.mutex.Lock()
	var nodes []*process
	for _, process := range i.running {
		if process.node {
			nodes = append(nodes, process)
			_ = syscall.Kill(process.pid, syscall.SIGTERM)
		}
	}
	i.mutex.Unlock()
	late := time.After(nodeEnd)
	for _, node := range nodes {
		select {
		case <-node.ended:
		case <-late:
			return
		}
	}
}

// end kills all others in this PID namespace and returns when they are gone.
func (i *Init) end() {
	// A socket without a process keeps its network namespace in the kernel while it waits for a peer that is gone as
	// well: eight retries, more than a minute. One is enough now.
	_ = os.WriteFile("/proc/sys/net/ipv4/tcp_orphan_retries", []byte("1"), 0o644)
	for syscall.Kill(-1, syscall.SIGKILL) == nil {
		// reap is at work beside this; there is nobody left to signal when it is done.
		time.Sleep(5 * time.Millisecond)
	}
}

// What nodes get to end in before they are killed with the rest; measured: under 0.2 s.
const nodeEnd = 5 * time.Second
