package main

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
	"time"
)

//go:embed files
var files embed.FS

// Where distributions put the CNI plugins; Debian the first.
var pluginFolders = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// launch starts the node's PID 1, nested in the cluster's.
func (n Node) launch() error {
	if err := os.MkdirAll(n.path(), 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, err = n.cluster.init().start(Process{
		Name:       n.Name(),
		Arguments:  []string{self, "init", "--node", n.path()},
		Log:        n.cluster.path("logs", n.Name()),
		Namespaces: true,
	})
	if err != nil {
		return err
	}
	return n.init().answers(n.cluster.path("logs", n.Name()))
}

// prepare does what needs no API server: the container runtime, and the images that it cannot pull.
func (n Node) prepare(images []string) error {
	if err := n.plugins(); err != nil {
		return err
	}
	if err := makeCgroups(n.cgroup()); err != nil {
		return fmt.Errorf("make cgroups: %w", err)
	}
	for _, file := range []string{"containerd.toml", "pods.conflist", "kubelet.yaml", "kube-proxy.yaml"} {
		content, err := n.render(file)
		if err != nil {
			return err
		}
		folder := n.path()
		if file == "pods.conflist" {
			folder = n.path("cni.d")
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, file), content, 0o644); err != nil {
			return err
		}
	}
	// Pods with the node's DNS have none: there is nothing outside to resolve.
	if err := os.WriteFile(n.path("resolv.conf"), nil, 0o644); err != nil {
		return err
	}
	if err := n.component("containerd", "containerd", "--config", n.path("containerd.toml")); err != nil {
		return err
	}
	err := until(30*time.Second, "containerd of "+n.Name(), func() error { _, err := n.ctr("version"); return err })
	if err != nil {
		return fmt.Errorf("%w\n%s", err, tail(n.log("containerd")))
	}
	for _, image := range images {
		if err := n.load(image); err != nil {
			return err
		}
	}
	return nil
}

// start starts what needs the API server.
func (n Node) start() error {
	kubernetes, err := part("WINDLASS_KUBERNETES", "kubernetes")
	if err != nil {
		return err
	}
	for name, arguments := range map[string][]string{
		"kubelet": {
			"--config=" + n.path("kubelet.yaml"), "--kubeconfig=" + n.path("kubelet.kubeconfig"),
			"--hostname-override=" + n.Name(), "--node-ip=" + n.Address(),
		},
		"kube-proxy": {"--config=" + n.path("kube-proxy.yaml")},
	} {
		if _, err := n.init().start(componentProcess(kubernetes, name, n.log(name), arguments)); err != nil {
			return err
		}
	}
	return nil
}

func (n Node) log(name string) string { return n.cluster.path("logs", n.Name()+"-"+name) }

func (n Node) component(name string, arguments ...string) error {
	_, err := n.init().start(Process{Name: name, Arguments: arguments, Log: n.log(name)})
	return err
}

// plugins gathers the CNI plugins that containerd looks for in one folder: the distribution's and this program.
func (n Node) plugins() error {
	folder := n.path("cni")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Symlink(self, filepath.Join(folder, pluginName)); err != nil {
		return err
	}
	for _, from := range pluginFolders {
		if _, err := os.Stat(filepath.Join(from, "ptp")); err != nil {
			continue
		}
		for _, plugin := range []string{"ptp", "host-local", "loopback"} {
			if err := os.Symlink(filepath.Join(from, plugin), filepath.Join(folder, plugin)); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no CNI plugins in any of %v; Debian's package is containernetworking-plugins", pluginFolders)
}

// render fills in one of the embedded files.
func (n Node) render(file string) ([]byte, error) {
	return render(file, map[string]any{
		"Name": n.Name(), "Address": n.Address(), "Pods": n.Pods(), "Folder": n.path(), "Cgroup": n.cgroup(),
		"Socket": n.containerd(), "DNS": n.cluster.DNS(), "ClusterPods": n.cluster.pods(),
		"Authority": n.cluster.path("pki", "ca.crt"), "Certificate": n.cluster.path("pki", n.Name()+".crt"),
		"Key": n.cluster.path("pki", n.Name()+".key"), "ProxyConfig": n.cluster.path("proxy.kubeconfig"), "Pause": pauseImage,
	})
}

func render(file string, values map[string]any) ([]byte, error) {
	parsed, err := template.New(file).Option("missingkey=error").ParseFS(files, "files/"+file)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	err = parsed.Execute(&content, values)
	return content.Bytes(), err
}
