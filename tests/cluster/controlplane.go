package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// certify makes the certificates and the kubeconfig of everybody who speaks to the API server.
func (c *Cluster) certify() error {
	authority, err := newAuthority(c.path("pki"))
	if err != nil {
		return err
	}
	err = authority.issue("apiserver", "kube-apiserver", "", c.address(), c.clusterEnd(), c.firstService(), "127.0.0.1",
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	if err != nil {
		return err
	}
	for _, client := range []struct{ name, user, group string }{
		{"admin", "admin", "system:masters"},
		{"kubelet-client", "kube-apiserver-kubelet-client", "system:masters"},
		{"front-proxy", "front-proxy", ""},
		{"controller-manager", "system:kube-controller-manager", ""},
		{"scheduler", "system:kube-scheduler", ""},
		{"proxy", "system:kube-proxy", ""},
	} {
		if err := authority.issue(client.name, client.user, client.group); err != nil {
			return err
		}
		if err := authority.config(c.path(client.name+".kubeconfig"), c.server(), client.name); err != nil {
			return err
		}
	}
	if c.Gateway {
		if err := authority.issue(gatewayName, gatewayName, "", c.address(), "127.0.0.1", "localhost"); err != nil {
			return err
		}
	}
	for _, node := range c.nodes() {
		name := node.Name()
		if err := authority.issue(name, "system:node:"+name, "system:nodes", name, node.Address()); err != nil {
			return err
		}
		if err := authority.config(node.path("kubelet.kubeconfig"), c.server(), name); err != nil {
			return err
		}
	}
	return nil
}

// startAPIServer starts it on an etcd of its own, and waits until it is ready.
func (c *Cluster) startAPIServer() error {
	pki := func(name string) string { return c.path("pki", name) }
	etcd := "http://127.0.0.1:2379"
	err := c.component("etcd", "--data-dir="+c.path("etcd"), "--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
		"--listen-peer-urls=http://127.0.0.1:2380",
		// A test's cluster does not outlive the machine, so nothing is gained by waiting for the disk.
		"--unsafe-no-fsync")
	if err != nil {
		return err
	}
	err = c.component("kube-apiserver", "--etcd-servers="+etcd,
		"--advertise-address="+c.address(), "--secure-port=6443",
		"--tls-cert-file="+pki("apiserver.crt"), "--tls-private-key-file="+pki("apiserver.key"), "--cert-dir="+c.path("pki"),
		"--client-ca-file="+pki("ca.crt"), "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file="+pki("accounts.key"), "--service-account-signing-key-file="+pki("accounts.key"),
		"--service-cluster-ip-range="+c.services(), "--allow-privileged=true",
		"--kubelet-client-certificate="+pki("kubelet-client.crt"), "--kubelet-client-key="+pki("kubelet-client.key"),
		"--kubelet-certificate-authority="+pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file="+pki("ca.crt"), "--requestheader-allowed-names=front-proxy",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+pki("front-proxy.crt"), "--proxy-client-key-file="+pki("front-proxy.key"),
		// The control plane has no kube-proxy: webhooks and aggregated APIs are reached at their pods.
		"--enable-aggregator-routing=true")
	if err != nil {
		return err
	}
	api, err := newAPI(c)
	if err != nil {
		return err
	}
	return c.await("the API server", func() error { return api.get("/readyz", nil) })
}

func (c *Cluster) startControlPlane() error {
	if err := c.startAPIServer(); err != nil {
		return err
	}
	pki := func(name string) string { return c.path("pki", name) }
	config := "--kubeconfig=" + c.path("controller-manager.kubeconfig")
	err := c.component("kube-controller-manager", config, "--authentication-"+config[2:], "--authorization-"+config[2:],
		"--leader-elect=false", "--use-service-account-credentials=true", "--root-ca-file="+pki("ca.crt"),
		"--service-account-private-key-file="+pki("accounts.key"),
		"--cluster-signing-cert-file="+pki("ca.crt"), "--cluster-signing-key-file="+pki("ca.key"),
		"--cert-dir="+c.path("pki"))
	if err != nil {
		return err
	}
	config = "--kubeconfig=" + c.path("scheduler.kubeconfig")
	return c.component("kube-scheduler", config, "--authentication-"+config[2:], "--authorization-"+config[2:], "--leader-elect=false")
}

// component starts one of the control plane's.
func (c *Cluster) component(name string, arguments ...string) error {
	program, err := part("WINDLASS_KUBERNETES", "kubernetes")
	if err != nil {
		return err
	}
	_, err = c.init().start(componentProcess(program, name, c.path("logs", name), arguments))
	return err
}

// process starts a program beside the control plane.
func (c *Cluster) process(name string, arguments ...string) error {
	_, err := c.init().start(Process{Name: name, Arguments: arguments, Log: c.path("logs", name)})
	return err
}

// One binary is all components: the one it is called.
func componentProcess(program, name, log string, arguments []string) Process {
	return Process{Name: name, Arguments: append([]string{program}, arguments...), As: name, Log: log}
}

// part finds a built program in a folder that the environment names.
func part(variable, name string) (string, error) {
	path := filepath.Join(os.Getenv(variable), name)
	if _, err := os.Stat(path); err != nil || os.Getenv(variable) == "" {
		return "", fmt.Errorf("%s must be the folder of the built %s; tests/cluster/run builds and names it", variable, name)
	}
	return path, nil
}

// ready fails with what is still missing.
func (c *Cluster) ready() error {
	api, err := newAPI(c)
	if err != nil {
		return err
	}
	var nodes struct {
		Items []struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
	}
	if err := api.get("/api/v1/nodes", &nodes); err != nil {
		return err
	}
	ready, message := 0, "no node has registered"
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type != "Ready" {
				continue
			}
			if condition.Status == "True" {
				ready++
			} else {
				message = condition.Message
			}
		}
	}
	if ready < c.Nodes {
		return fmt.Errorf("%d of %d nodes are Ready: %s", ready, c.Nodes, message)
	}
	var dns struct {
		Status struct{ ReadyReplicas int }
	}
	if err := api.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns", &dns); err != nil {
		return err
	}
	if dns.Status.ReadyReplicas == 0 {
		return fmt.Errorf("no DNS server is ready")
	}
	return nil
}

// A moment for a first answer; `until` asks again.
const requestLimit = 5 * time.Second
