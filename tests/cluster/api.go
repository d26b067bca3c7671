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
	"path/filepath"
	"slices"
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

// define installs the definitions of resources in a folder, and waits until all are served: a program that misses one may end.
func (c *Cluster) define(folder string) error {
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("no definitions in %s", folder)
	}
	var documents []string
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		documents = append(documents, string(content))
	}
	if err := apply(c.adminConfig(), strings.Join(documents, "\n---\n")); err != nil {
		return err
	}
	return c.await("the resources of "+folder, c.served)
}

// served fails with a version of a defined resource that the API server does not serve yet.
func (c *Cluster) served() error {
	api, err := newAPI(c)
	if err != nil {
		return err
	}
	var definitions struct {
		Items []struct {
			Spec struct {
				Group    string
				Names    struct{ Plural string }
				Versions []struct {
					Name   string
					Served bool
				}
			}
		}
	}
	if err := api.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definitions); err != nil {
		return err
	}
	type list struct{ Resources []struct{ Name string } }
	lists := map[string]*list{}
	for _, definition := range definitions.Items {
		for _, version := range definition.Spec.Versions {
			path := "/apis/" + definition.Spec.Group + "/" + version.Name
			if version.Served && lists[path] == nil {
				lists[path] = new(list)
				if err := api.get(path, lists[path]); err != nil {
					return err
				}
			}
			isIt := func(resource struct{ Name string }) bool { return resource.Name == definition.Spec.Names.Plural }
			if version.Served && !slices.ContainsFunc(lists[path].Resources, isIt) {
				return fmt.Errorf("%s does not have %s", path, definition.Spec.Names.Plural)
			}
		}
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
