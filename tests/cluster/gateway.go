package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// The Gateway that routes refer to.
	gatewayName      = "public"
	gatewayNamespace = "gateways"
	// Where Envoy takes plain HTTP: what Contour makes of the Gateway's port 80.
	gatewayPort = "8080"
	// Contour's own: where it serves Envoy's configuration, and where Envoy says that it has got one.
	gatewayConfigurationPort = "8001"
	gatewayHealthPort        = "8002"
)

// Where clients on the machine, and in pods, reach the gateway.
func (c *Cluster) gatewayAddress() string { return net.JoinHostPort(c.address(), gatewayPort) }

// startGateway starts Envoy, and Contour, which configures it by Gateway API and Ingress. They run beside the control plane, from
// where pods of all nodes are reached, in place of the pods of a host network that they usually are.
func (c *Cluster) startGateway() error {
	contour, err := part("WINDLASS_GATEWAY", "contour")
	if err != nil {
		return err
	}
	if err := c.define(filepath.Join(filepath.Dir(contour), "definitions")); err != nil {
		return err
	}
	values := map[string]any{"Name": gatewayName, "Namespace": gatewayNamespace}
	for value, file := range map[string]string{"Certificate": gatewayName + ".crt", "Key": gatewayName + ".key"} {
		content, err := os.ReadFile(c.path("pki", file))
		if err != nil {
			return err
		}
		values[value] = base64.StdEncoding.EncodeToString(content)
	}
	objects, err := render("gateway.yaml", values)
	if err != nil {
		return err
	}
	if err := apply(c.adminConfig(), string(objects)); err != nil {
		return err
	}
	configuration, err := render("contour.yaml", values)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path("contour.yaml"), configuration, 0o644); err != nil {
		return err
	}
	// Only this cluster's processes reach that address, so nothing is encrypted between the two.
	source := []string{"--xds-address=127.0.0.1", "--xds-port=" + gatewayConfigurationPort}
	arguments := append([]string{contour, "serve", "--insecure", "--kubeconfig=" + c.adminConfig(), "--config-path=" + c.path("contour.yaml"),
		"--contour-config-name=", "--disable-leader-election", "--ingress-status-address=" + c.address()}, source...)
	if err := c.process("contour", arguments...); err != nil {
		return err
	}
	arguments = append([]string{contour, "bootstrap", c.path("envoy.json"), "--admin-address=" + c.path("envoy.sock")}, source...)
	if _, err := c.init().run("", arguments...); err != nil {
		return err
	}
	envoy, err := part("WINDLASS_ENVOY", "envoy")
	if err != nil {
		return err
	}
	// One that could be restarted hot would share memory with the Envoys of other clusters.
	err = c.process("envoy", envoy, "--config-path", c.path("envoy.json"), "--service-cluster", "contour", "--service-node", c.Name,
		"--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
	if err != nil {
		return err
	}
	return c.await("the gateway", c.gatewayReady)
}

func (c *Cluster) gatewayReady() error {
	client := http.Client{Timeout: requestLimit}
	response, err := client.Get("http://" + net.JoinHostPort(c.address(), gatewayHealthPort) + "/ready")
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("Envoy: %s", response.Status)
	}
	api, err := newAPI(c)
	if err != nil {
		return err
	}
	var gateway struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	err = api.get("/apis/gateway.networking.k8s.io/v1/namespaces/"+gatewayNamespace+"/gateways/"+gatewayName, &gateway)
	if err != nil {
		return err
	}
	var said []string
	for _, condition := range gateway.Status.Conditions {
		if condition.Type == "Programmed" && condition.Status == "True" {
			return nil
		}
		said = append(said, condition.Type+"="+condition.Status+": "+condition.Message)
	}
	return fmt.Errorf("the Gateway is not programmed: %s", strings.Join(said, ", "))
}

// gateway is the verb of the same name.
func gateway(arguments []string) error {
	name, err := oneName(arguments)
	if err != nil {
		return err
	}
	cluster, err := find(name)
	if err != nil {
		return err
	}
	if !cluster.Gateway {
		return fmt.Errorf("cluster %q has no gateway; `up --gateway` makes one", name)
	}
	fmt.Println(cluster.gatewayAddress())
	return nil
}

// publishAt opens the port of the machine that leads to a cluster's gateway: nil without one. The socket belongs to the machine's network
// whoever holds it, so it is handed to the cluster's PID 1, and its end is the port's.
func publishAt(port int) (*os.File, error) {
	if port == 0 {
		return nil, nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("publish the gateway: %w", err)
	}
	defer listener.Close()
	return listener.(*net.TCPListener).File()
}

// publish leads each connection that comes on a listener of the machine to an address of this network namespace.
func publish(listener net.Listener, address string) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			// A client of a gateway that is not there sees its connection closed.
			if inside, err := net.Dial("tcp", address); err == nil {
				defer inside.Close()
				join(connection.(*net.TCPConn), inside.(*net.TCPConn))
			}
		}()
	}
}

// join carries bytes both ways until neither end says more. That one has said all is passed on.
func join(one, other *net.TCPConn) {
	said := make(chan struct{})
	carry := func(to, from *net.TCPConn) {
		_, _ = io.Copy(to, from)
		_ = to.CloseWrite()
	}
	go func() {
		carry(one, other)
		close(said)
	}()
	carry(other, one)
	<-said
}
