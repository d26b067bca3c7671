package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
)

// api reads from a cluster's API server, as its administrator. What is written goes through kubectl.
type api struct {
	server string
	client *http.Client
}

func newAPI(c *Cluster) (*api, error) {
	certificate, err := tls.LoadX509KeyPair(c.path("pki", "admin.crt"), c.path("pki", "admin.key"))
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(c.path("pki", "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	return &api{c.server(), &http.Client{
		Timeout: requestLimit,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}},
			DisableKeepAlives: true,
		},
	}}, nil
}

// get reads a path, into a value if one is given.
func (a *api) get(path string, into any) error {
	response, err := a.client.Get(a.server + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}

// kubectlOf is the cluster's own kubectl, as its administrator.
func kubectlOf(config string, arguments ...string) (*exec.Cmd, error) {
	program, err := part("WINDLASS_KUBERNETES", "kubernetes")
	if err != nil {
		return nil, err
	}
	command := exec.Command(program, arguments...)
	command.Args[0] = "kubectl"
	command.SysProcAttr = endsWithThis()
	command.Env = append(os.Environ(), "KUBECONFIG="+config)
	return command, nil
}

// apply makes objects from YAML or JSON documents.
func apply(config, documents string) error {
	command, err := kubectlOf(config, "apply", "--server-side", "--force-conflicts", "-f", "-")
	if err != nil {
		return err
	}
	command.Stdin = strings.NewReader(documents)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return nil
}

// kubectlOutput runs kubectl to its end and returns what it printed, without the white space around it.
func kubectlOutput(config string, arguments ...string) (string, error) {
	command, err := kubectlOf(config, arguments...)
	if err != nil {
		return "", err
	}
	var complaint strings.Builder
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(arguments, " "), err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(string(output)), nil
}
