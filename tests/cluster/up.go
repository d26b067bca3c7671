package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Measured: 6 to 15 s on two cores. Past this something is broken, not slow.
const readyLimit = 2 * time.Minute

// up brings a cluster up: PID 1 of everything, the network, the control plane, the nodes, DNS. If any step fails or
// this process dies, the cluster's PID 1 notices by its lease and takes all of it down.
func up(arguments []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	nodes := flags.Int("nodes", 1, "how many nodes, 1 to 9; 0 for etcd and the API server alone")
	policies := flags.Bool("policies", false, "enforce NetworkPolicy, by Felix on each node")
	gateway := flags.Bool("gateway", false, "serve Gateway API and Ingress, by Contour and Envoy")
	published := flags.Int("publish", 0, "a port of 127.0.0.1 on the machine that leads to the gateway")
	foreground := flags.Bool("foreground", false, "stay until standard input or this process ends, then take the cluster down")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	name, err := oneName(flags.Args())
	if err != nil {
		return err
	}
	if *gateway && *nodes == 0 {
		return errors.New("--gateway needs a node")
	}
	if *published != 0 && !*gateway {
		return errors.New("--publish needs --gateway")
	}
	if given() != "" {
		return useGiven()
	}
	began := time.Now()
	cluster := &Cluster{Name: name, Nodes: *nodes, Policies: *policies, Gateway: *gateway}
	lease, err := cluster.launch(*published)
	if err != nil {
		return err
	}
	defer lease.Close()
	if err := cluster.build(); err != nil {
		lease.Close()
		return errors.Join(err, cluster.gone())
	}
	ready := time.Since(began)
	fmt.Printf("cluster %s: %d node(s) Ready in %.1f s, %d MiB resident\n", name, cluster.Nodes, ready.Seconds(), cluster.memory()>>20)
	fmt.Printf("export KUBECONFIG=%s\n", cluster.adminConfig())
	if cluster.Gateway {
		fmt.Printf("gateway: http://%s\n", cluster.gatewayAddress())
	}
	if !*foreground {
		_, err := lease.WriteString(detached)
		return err
	}
	ends := make(chan os.Signal, 1)
	signal.Notify(ends, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		ends <- syscall.SIGTERM
	}()
	<-ends
	lease.Close()
	return cluster.gone()
}

func oneName(arguments []string) (string, error) {
	switch len(arguments) {
	case 0:
		return defaultName, nil
	case 1:
		return arguments[0], nil
	}
	return "", fmt.Errorf("one cluster's name is wanted, not %q", arguments)
}

func useGiven() error {
	if _, err := kubectlOutput(given(), "get", "--raw", "/readyz"); err != nil {
		return fmt.Errorf("the cluster of the given KUBECONFIG does not answer: %w", err)
	}
	fmt.Printf("using the given cluster\nexport KUBECONFIG=%s\n", given())
	return nil
}

// launch starts the cluster's PID 1, with a port of the machine unless that is 0, and returns the lease that keeps it alive.
func (c *Cluster) launch(published int) (*os.File, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("clusters need root: they make namespaces, mounts and interfaces")
	}
	socket, err := publishAt(published)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	lock, err := reserve(c)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	reader, lease, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	log, err := os.Create(c.path("init.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.Command(self, "init", c.folder())
	command.ExtraFiles = []*os.File{lock, reader}
	if socket != nil {
		command.Args = []string{self, "init", "--publish=" + c.gatewayAddress(), c.folder()}
		command.ExtraFiles = append(command.ExtraFiles, socket)
	}
	command.Stdout, command.Stderr = log, log
	command.Dir = "/"
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Setsid:     true,
	}
	if err := command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start PID 1 of %s: %w", c.Name, err), remove(c.Name))
	}
	go command.Wait()
	return lease, nil
}

func (c *Cluster) build() error {
	if err := os.MkdirAll(c.path("logs"), 0o755); err != nil {
		return err
	}
	if err := c.init().answers(c.path("init.log")); err != nil {
		return err
	}
	for _, node := range c.nodes() {
		if err := node.launch(); err != nil {
			return fmt.Errorf("start %s: %w", node.Name(), err)
		}
	}
	if err := c.makeNetwork(); err != nil {
		return fmt.Errorf("make the network: %w", err)
	}
	if err := c.certify(); err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	if c.Nodes == 0 {
		return c.startAPIServer()
	}
	images, err := c.ownImages()
	if err != nil {
		return fmt.Errorf("make the cluster's own images: %w", err)
	}
	// Containers can be prepared while the control plane starts.
	prepared := make(chan error, c.Nodes)
	for _, node := range c.nodes() {
		go func() { prepared <- node.prepare(images) }()
	}
	if err := c.startControlPlane(); err != nil {
		return err
	}
	for range c.nodes() {
		if err := <-prepared; err != nil {
			return err
		}
	}
	for _, node := range c.nodes() {
		if err := node.start(); err != nil {
			return fmt.Errorf("start %s: %w", node.Name(), err)
		}
	}
	if err := c.addOns(); err != nil {
		return err
	}
	if c.Policies {
		if err := c.startPolicies(); err != nil {
			return fmt.Errorf("start Felix: %w", err)
		}
	}
	if c.Gateway {
		if err := c.startGateway(); err != nil {
			return fmt.Errorf("start the gateway: %w", err)
		}
	}
	return c.await("Ready nodes and DNS", c.ready)
}

// await waits for the cluster to get somewhere, and gives up as soon as something has ended that should not.
func (c *Cluster) await(what string, holds func() error) error {
	var ended error
	err := until(readyLimit, what, func() error {
		if ended = c.ended(); ended != nil {
			return nil
		}
		return holds()
	})
	return errors.Join(err, ended)
}

// ended says what is no longer running, with the last lines of its log.
func (c *Cluster) ended() error {
	inits := map[string]*client{"": c.init()}
	for _, node := range c.nodes() {
		inits[node.Name()+"-"] = node.init()
	}
	for prefix, init := range inits {
		var ended map[string]string
		if err := init.call("Ended", struct{}{}, &ended); err != nil {
			return fmt.Errorf("a PID 1 does not answer: %w\n%s", err, tail(c.path("init.log")))
		}
		for name, how := range ended {
			return fmt.Errorf("%s%s ended: %s\n%s", prefix, name, how, tail(c.path("logs", prefix+name)))
		}
	}
	return nil
}

// The last lines of a log.
func tail(path string) string {
	content, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// down takes clusters down, and waits until nothing of them is left.
func down(arguments []string) error {
	flags := flag.NewFlagSet("down", flag.ContinueOnError)
	all := flags.Bool("all", false, "every cluster on this machine")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if given() != "" && !*all && flags.NArg() == 0 {
		fmt.Println("the given cluster stays")
		return nil
	}
	wanted := flags.Args()
	if *all {
		wanted = names()
	} else if len(wanted) == 0 {
		wanted = []string{defaultName}
	}
	var failed []error
	for _, name := range wanted {
		if !nameShape.MatchString(name) {
			failed = append(failed, fmt.Errorf("%q is no cluster's name", name))
			continue
		}
		cluster := &Cluster{Name: name}
		if pid, err := cluster.init().processID(); err == nil {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				failed = append(failed, fmt.Errorf("end %s: %w", name, err))
			}
		}
		failed = append(failed, cluster.gone())
	}
	return errors.Join(failed...)
}

// gone waits until the cluster's PID 1 has removed everything, or does it in its place if it was killed.
func (c *Cluster) gone() error {
	return until(time.Minute, "the end of "+c.Name, func() error {
		if lock, err := lockOf(c.Name); err == nil {
			// Dead, and what it had to remove is still there.
			defer lock.Close()
			if err := errors.Join(unlink(c.Name), remove(c.Name)); err != nil {
				return err
			}
		}
		for _, left := range []string{c.folder(), filepath.Join("/sys/class/net", c.hostLink())} {
			if _, err := os.Lstat(left); err == nil {
				return fmt.Errorf("%s is still there", left)
			}
		}
		return nil
	})
}
