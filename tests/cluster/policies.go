package main

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"
)

const (
	// Felix's own default, on the node's address.
	felixHealth = "9099"
	// How long a policy may take to be in force before it is called not enforced; measured with Felix: 0.1 to 0.3 s.
	enforcementLimit = 5 * time.Second
)

// startPolicies starts Felix on each node. It is told of the cluster by its own resource definitions, of the pods and
// policies by Kubernetes, and finds a pod by the name of its interface (cni.go).
func (c *Cluster) startPolicies() error {
	felix, err := part("WINDLASS_FELIX", "felix")
	if err != nil {
		return err
	}
	if err := c.define(filepath.Join(filepath.Dir(felix), "definitions")); err != nil {
		return err
	}
	information, err := render("felix.yaml", nil)
	if err != nil {
		return err
	}
	if err := apply(c.adminConfig(), string(information)); err != nil {
		return err
	}
	for _, node := range c.nodes() {
		_, err := node.init().start(Process{
			Name:        "felix",
			Arguments:   []string{felix},
			Environment: node.felixEnvironment(),
			Log:         node.log("felix"),
		})
		if err != nil {
			return err
		}
	}
	return c.await("Felix", func() error {
		for _, node := range c.nodes() {
			if err := node.felixReady(); err != nil {
				return err
			}
		}
		return nil
	})
}

func (n Node) felixEnvironment() []string {
	return []string{
		"KUBECONFIG=" + n.cluster.adminConfig(),
		"FELIX_DATASTORETYPE=kubernetes",
		"FELIX_FELIXHOSTNAME=" + n.Name(),
		"FELIX_INTERFACEPREFIX=" + vethPrefix,
		"FELIX_IPTABLESBACKEND=NFT",
		// Pods may speak to their node, as they may without Felix.
		"FELIX_DEFAULTENDPOINTTOHOSTACTION=ACCEPT",
		"FELIX_HEALTHENABLED=true",
		"FELIX_HEALTHHOST=" + n.Address(),
		"FELIX_LOGSEVERITYSCREEN=Warning",
		"FELIX_LOGFILEPATH=none",
		"FELIX_LOGSEVERITYFILE=none",
		"FELIX_LOGSEVERITYSYS=none",
		"FELIX_USAGEREPORTINGENABLED=false",
		// The routes are the CNI plugin's and the harness's; Felix must not tidy them up.
		"FELIX_ROUTESOURCE=WorkloadIPs",
		"FELIX_REMOVEEXTERNALROUTES=false",
		"FELIX_IPV6SUPPORT=false",
		"FELIX_IPINIPENABLED=false",
		"FELIX_VXLANENABLED=false",
		"FELIX_WIREGUARDENABLED=false",
		"FELIX_BPFENABLED=false",
		"FELIX_XDPENABLED=false",
	}
}

func (n Node) felixReady() error {
	client := http.Client{Timeout: requestLimit}
	response, err := client.Get("http://" + n.Address() + ":" + felixHealth + "/readiness")
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode >= 300 {
		return fmt.Errorf("readiness of %s: %s", n.Name(), response.Status)
	}
	return nil
}

// enforcement is the verb of the same name: it tries out whether a policy stops what it says. A cluster that takes a
// NetworkPolicy and does nothing about it looks no different otherwise.
func enforcement(arguments []string) error {
	config, err := configOf(arguments)
	if err != nil {
		return err
	}
	verdict, err := probe(config)
	if err != nil {
		return err
	}
	fmt.Println(verdict)
	return nil
}

func probe(config string) (verdict string, err error) {
	// Of its own each time: the end of a namespace takes seconds that nobody needs to wait.
	probeSpace := fmt.Sprintf("enforcement-probe-%d", time.Now().UnixNano())
	values := map[string]any{"Namespace": probeSpace, "Image": podImage}
	pods, err := render("probe-pods.yaml", values)
	if err != nil {
		return "", err
	}
	policy, err := render("probe-policy.yaml", values)
	if err != nil {
		return "", err
	}
	defer func() {
		_, removed := kubectlOutput(config, "delete", "namespace", probeSpace, "--ignore-not-found", "--wait=false")
		err = errors.Join(err, removed)
	}()
	if err := apply(config, string(pods)); err != nil {
		return "", err
	}
	_, err = kubectlOutput(config, "--namespace", probeSpace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
	if err != nil {
		return "", err
	}
	address, err := kubectlOutput(config, "--namespace", probeSpace, "get", "pod", "server", "--output=jsonpath={.status.podIP}")
	if err != nil {
		return "", err
	}
	ask := func() (string, error) {
		return kubectlOutput(config, "--namespace", probeSpace, "exec", "client", "--", "/cluster", "fetch", "http://"+address+":"+podPort)
	}
	// Without this, a network that is broken would pass for one that is protected.
	if answer, err := ask(); err != nil || answer != "server" {
		return "", errors.Join(fmt.Errorf("the probe's pods do not reach each other without any policy: %q", answer), err)
	}
	if err := apply(config, string(policy)); err != nil {
		return "", err
	}
	for began := time.Now(); time.Since(began) < enforcementLimit; {
		answer, err := ask()
		if err != nil {
			return "", err
		}
		if answer == unreachable {
			return "Enforced", nil
		}
	}
	return "NotEnforced", nil
}
