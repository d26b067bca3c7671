package main

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// makeNetwork joins the host, the control plane and the nodes. The control plane's namespace is the cluster's router: a
// bridge for the nodes, and a link to the host. It has no default route, so a cluster reaches its own addresses, those
// of clusters it was connected to, and the host at its end of the link; nothing else, whatever the host forwards.
func (c *Cluster) makeNetwork() error {
	pid, err := c.init().processID()
	if err != nil {
		return err
	}
	err = host(
		fmt.Sprintf("link add %s type veth peer name host netns %d", c.hostLink(), pid),
		fmt.Sprintf("address add %s/30 dev %s", c.hostEnd(), c.hostLink()),
		fmt.Sprintf("link set %s up", c.hostLink()),
		fmt.Sprintf("route add %s via %s", c.everything(), c.clusterEnd()),
	)
	if err != nil {
		return err
	}
	router := []string{
		"link set lo up",
		fmt.Sprintf("address add %s/30 dev host", c.clusterEnd()),
		"link set host up",
		"link add nodes type bridge",
		fmt.Sprintf("address add %s/24 dev nodes", c.address()),
		"link set nodes up",
		// What no node has is nobody's, and must not go back and forth between host and cluster.
		fmt.Sprintf("route add unreachable %s", c.everything()),
	}
	if c.Nodes > 0 {
		router = append(router, fmt.Sprintf("route add %s via %s", c.services(), c.node(1).Address()))
	}
	for _, node := range c.nodes() {
		var inside int
		if err := c.init().call("PID", node.Name(), &inside); err != nil {
			return err
		}
		router = append(router,
			fmt.Sprintf("link add %s type veth peer name eth0 netns %d", node.Name(), inside),
			fmt.Sprintf("link set %s master nodes up", node.Name()),
			fmt.Sprintf("route add %s via %s", node.Pods(), node.Address()))
	}
	if err := c.init().links(router...); err != nil {
		return err
	}
	if err := forward(c.init()); err != nil {
		return err
	}
	for _, node := range c.nodes() {
		lines := []string{
			"link set lo up",
			fmt.Sprintf("address add %s/24 dev eth0", node.Address()),
			"link set eth0 up",
			fmt.Sprintf("route add default via %s", c.address()),
		}
		for _, other := range c.nodes() {
			if other != node {
				lines = append(lines, fmt.Sprintf("route add %s via %s", other.Pods(), other.Address()))
			}
		}
		if err := node.init().links(lines...); err != nil {
			return err
		}
		if err := forward(node.init()); err != nil {
			return err
		}
	}
	return nil
}

// The setting is the namespace's own; the machine's stays as it is.
func forward(where *client) error {
	_, err := where.run("1", "tee", "/proc/sys/net/ipv4/ip_forward")
	return err
}

// connect joins two clusters by a link of their own, from pod to pod and to each other's Services.
func connect(arguments []string) error {
	first, second, err := two(arguments)
	if err != nil {
		return err
	}
	ends := [2]int{}
	for n, cluster := range []*Cluster{first, second} {
		if ends[n], err = cluster.init().processID(); err != nil {
			return err
		}
	}
	err = host(fmt.Sprintf("link add name to-%s netns %d type veth peer name to-%s netns %d", second.Name, ends[0], first.Name, ends[1]))
	if err != nil {
		return err
	}
	return errors.Join(first.routeTo(second), second.routeTo(first))
}

func (c *Cluster) routeTo(other *Cluster) error {
	link := "to-" + other.Name
	return c.init().links(
		fmt.Sprintf("address add %s peer %s dev %s", c.linkTo(other), other.linkTo(c), link),
		fmt.Sprintf("link set %s up", link),
		fmt.Sprintf("route add %s via %s", other.everything(), other.linkTo(c)),
	)
}

// The address of this cluster's end of its link to another one.
func (c *Cluster) linkTo(other *Cluster) string {
	return fmt.Sprintf("%s.254.%d", c.prefix(), 1+other.Index)
}

// disconnect removes that link, which takes both ends and the routes with it.
func disconnect(arguments []string) error {
	first, second, err := two(arguments)
	if err != nil {
		return err
	}
	return first.init().links("link delete to-" + second.Name)
}

func two(arguments []string) (first, second *Cluster, err error) {
	if len(arguments) != 2 || arguments[0] == arguments[1] {
		return nil, nil, errors.New("the names of two clusters are wanted")
	}
	if first, err = find(arguments[0]); err != nil {
		return nil, nil, err
	}
	second, err = find(arguments[1])
	return first, second, err
}

// host carries out lines of `ip -batch` on the machine itself.
func host(lines ...string) error {
	ip, err := lookPath("ip")
	if err != nil {
		return err
	}
	command := exec.Command(ip, "-batch", "-")
	command.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}
