package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// list is the verb of the same name.
func list([]string) error {
	for _, name := range names() {
		cluster, err := find(name)
		if err != nil {
			fmt.Printf("%-12s %v\n", name, err)
			continue
		}
		fmt.Printf("%-12s %d node(s), %d MiB resident, %s, policies %v\n", name, cluster.Nodes, cluster.memory()>>20,
			cluster.everything(), cluster.Policies)
	}
	return nil
}

// kubeconfig is the verb of the same name.
func kubeconfig(arguments []string) error {
	config, err := configOf(arguments)
	if err != nil {
		return err
	}
	fmt.Println(config)
	return nil
}

// kubectl is the verb of the same name. It ends with kubectl's own status.
func kubectl(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("wanted: NAME ARGUMENT…")
	}
	config, err := configOf(arguments[:1])
	if err != nil {
		return err
	}
	command, err := kubectlOf(config, arguments[1:]...)
	if err != nil {
		return err
	}
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = command.Run()
	if ended := new(exec.ExitError); errors.As(err, &ended) {
		os.Exit(ended.ExitCode())
	}
	return err
}

// memory is what all processes of the cluster have resident, in bytes, shared pages in proportion.
func (c *Cluster) memory() int64 {
	first, err := c.init().processID()
	if err != nil {
		return 0
	}
	parents := map[int]int{}
	folders, _ := filepath.Glob("/proc/[0-9]*")
	for _, folder := range folders {
		status, err := os.ReadFile(filepath.Join(folder, "stat"))
		if err != nil {
			continue
		}
		// After the command's name, which may hold anything: the state and the parent.
		fields := strings.Fields(string(status[strings.LastIndexByte(string(status), ')')+1:]))
		pid, _ := strconv.Atoi(filepath.Base(folder))
		parents[pid], _ = strconv.Atoi(fields[1])
	}
	var bytes int64
	for pid := range parents {
		for ancestor := pid; ancestor != 0; ancestor = parents[ancestor] {
			if ancestor == first {
				bytes += proportional(pid)
				break
			}
		}
	}
	return bytes
}

func proportional(pid int) int64 {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(content)) {
		if rest, found := strings.CutPrefix(line, "Pss:"); found {
			kibibytes, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kibibytes << 10
		}
	}
	return 0
}

// addOns makes what a cluster has beside its components.
func (c *Cluster) addOns() error {
	dns, err := render("dns.yaml", map[string]any{"Image": dnsImage, "Address": c.DNS()})
	if err != nil {
		return err
	}
	return apply(c.adminConfig(), string(dns))
}
