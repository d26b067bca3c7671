package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

const (
	defaultName = "windlass"
	// Where clusters keep their files: images and volumes too, so it is on a disk. Short, because a unix socket's path
	// has 107 bytes at most.
	defaultRoot = "/var/cache/windlass-clusters"
	// Clusters at a time on one machine: each has 10.(200+index).0.0/16.
	mostClusters = 50
	// Nodes in a cluster: one digit of their addresses and interface names.
	mostNodes = 9
)

// A cluster's name is also a folder, a cgroup and part of an interface's name, of which Linux allows 15 bytes.
var nameShape = regexp.MustCompile(`^[a-z][a-z0-9-]{0,9}$`)

// Cluster is what is known of a cluster from its record alone.
type Cluster struct {
	Name string
	// Tells its addresses and its interface on the host from those of other clusters.
	Index int
	// None: etcd and the API server alone, where nobody acts but who is started beside them.
	Nodes    int
	Policies bool
	Gateway  bool
}

func (c *Cluster) folder() string { return filepath.Join(root(), c.Name) }
func (c *Cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.folder()}, parts...)...)
}
func (c *Cluster) adminConfig() string { return c.path("admin.kubeconfig") }

// Where its PID 1 is spoken to; a node's is in the node's folder.
func (c *Cluster) init() *client { return &client{c.path("init.sock")} }

func (c *Cluster) node(number int) Node { return Node{c, number} }

func (c *Cluster) nodes() []Node {
	var nodes []Node
	for number := 1; number <= c.Nodes; number++ {
		nodes = append(nodes, c.node(number))
	}
	return nodes
}

// Node is one machine of a cluster: network, processes and mounts of its own. Numbered from 1.
type Node struct {
	cluster *Cluster
	Number  int
}

func (n Node) Name() string { return fmt.Sprintf("node-%d", n.Number) }
func (n Node) path(parts ...string) string {
	return n.cluster.path(append([]string{n.Name()}, parts...)...)
}
func (n Node) init() *client      { return &client{n.path("init.sock")} }
func (n Node) containerd() string { return n.path("containerd.sock") }
func (n Node) cgroup() string     { return filepath.Join(cgroupOf(n.cluster.Name), n.Name()) }

// Addresses. The second byte is the cluster's; nothing but the cluster's own routes leads to them.
func (c *Cluster) prefix() string       { return fmt.Sprintf("10.%d", 200+c.Index) }
func (c *Cluster) everything() string   { return c.prefix() + ".0.0/16" }
func (c *Cluster) address() string      { return c.prefix() + ".0.1" }
func (c *Cluster) pods() string         { return c.prefix() + ".16.0/20" }
func (c *Cluster) services() string     { return c.prefix() + ".128.0/20" }
func (c *Cluster) firstService() string { return c.prefix() + ".128.1" }
func (c *Cluster) DNS() string          { return c.prefix() + ".128.10" }
func (c *Cluster) hostEnd() string      { return c.prefix() + ".255.1" }
func (c *Cluster) clusterEnd() string   { return c.prefix() + ".255.2" }
func (c *Cluster) hostLink() string     { return "wl-" + c.Name }
func (c *Cluster) server() string       { return "https://" + c.address() + ":6443" }
func (n Node) Address() string          { return fmt.Sprintf("%s.0.%d", n.cluster.prefix(), 10+n.Number) }
func (n Node) Pods() string             { return fmt.Sprintf("%s.%d.0/24", n.cluster.prefix(), 16+n.Number) }

func root() string {
	if folder := os.Getenv("WINDLASS_CLUSTERS"); folder != "" {
		return folder
	}
	return defaultRoot
}

// The kubeconfig of a cluster that the caller has already; empty if there is none.
func given() string { return os.Getenv("KUBECONFIG") }

// configOf is the given kubeconfig, or the one of the cluster that the arguments name.
func configOf(arguments []string) (string, error) {
	if config := given(); config != "" {
		return config, nil
	}
	name, err := oneName(arguments)
	if err != nil {
		return "", err
	}
	cluster, err := find(name)
	if err != nil {
		return "", err
	}
	return cluster.adminConfig(), nil
}

// find reads a cluster's record. A cluster whose PID 1 is gone is not found.
func find(name string) (*Cluster, error) {
	record, err := os.ReadFile(filepath.Join(root(), name, "cluster.json"))
	if err != nil {
		return nil, fmt.Errorf("no cluster %q is up", name)
	}
	cluster := new(Cluster)
	if err := json.Unmarshal(record, cluster); err != nil {
		return nil, fmt.Errorf("read the record of %q: %w", name, err)
	}
	if held, err := lockOf(name); err == nil {
		held.Close()
		return nil, fmt.Errorf("cluster %q was killed; `down` or the next `up` sweeps up after it", name)
	}
	return cluster, nil
}

// names lists the clusters that have a folder, dead ones too.
func names() []string {
	entries, _ := os.ReadDir(root())
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names
}

// reserve sweeps up after dead clusters, and makes the folder of a new one, which gets its index. Its lock is handed on to the
// cluster's PID 1: it is free as soon as both are dead, which no record of process ids could tell as surely.
func reserve(cluster *Cluster) (*os.File, error) {
	name := cluster.Name
	if !nameShape.MatchString(name) {
		return nil, fmt.Errorf("a cluster's name is a letter and at most 9 letters, digits and dashes, not %q", name)
	}
	if cluster.Nodes < 0 || cluster.Nodes > mostNodes {
		return nil, fmt.Errorf("a cluster has 0 to %d nodes, not %d", mostNodes, cluster.Nodes)
	}
	if err := os.MkdirAll(root(), 0o755); err != nil {
		return nil, err
	}
	// One at a time chooses a name and an index.
	all, err := os.Open(root())
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if err := syscall.Flock(int(all.Fd()), syscall.LOCK_EX); err != nil {
		return nil, err
	}
	if err := sweep(); err != nil {
		return nil, err
	}
	var taken []int
	for _, other := range names() {
		if other == name {
			return nil, fmt.Errorf("cluster %q is up already", name)
		}
		if record, err := find(other); err == nil {
			taken = append(taken, record.Index)
		}
	}
	for slices.Contains(taken, cluster.Index) {
		cluster.Index++
	}
	if cluster.Index >= mostClusters {
		return nil, fmt.Errorf("%d clusters are up already", mostClusters)
	}
	if err := os.Mkdir(cluster.folder(), 0o755); err != nil {
		return nil, err
	}
	lock, err := lockOf(name)
	if err != nil {
		return nil, err
	}
	record, err := json.Marshal(cluster)
	if err != nil {
		return nil, err
	}
	return lock, os.WriteFile(cluster.path("cluster.json"), record, 0o644)
}

// lockOf takes the lock that a living cluster holds, or fails.
func lockOf(name string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(root(), name, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// sweep removes what clusters whose PID 1 was killed have left: files and empty cgroups. All else went with it.
func sweep() error {
	var failed []error
	for _, name := range names() {
		lock, err := lockOf(name)
		if err != nil {
			continue
		}
		failed = append(failed, unlink(name), remove(name))
		lock.Close()
	}
	return errors.Join(failed...)
}

// unlink removes the machine's end of a dead cluster's link, which the kernel may take its time to do.
func unlink(name string) error {
	link := (&Cluster{Name: name}).hostLink()
	if _, err := os.Lstat(filepath.Join("/sys/class/net", link)); err != nil {
		return nil
	}
	return host("link delete " + link)
}

// remove takes away the cgroups and the folder of a cluster without processes.
func remove(name string) error {
	if err := removeCgroups(cgroupOf(name)); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(root(), name))
}

// until asks again and again, for a condition that comes true by itself, and says what it waited for if it does not.
func until(limit time.Duration, what string, holds func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := holds()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not within %s: %w", what, limit, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
