package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"

	"windlass/charts/images/archive"
)

// The cluster's own images. They are made from built programs each time, so they need no version of their own.
const (
	pauseImage = "windlass.test/pause:local"
	dnsImage   = "windlass.test/coredns:local"
)

// ownImages writes the archives of what every node must have, and of this program for the tests' pods: no registry is
// asked for anything.
func (c *Cluster) ownImages() ([]string, error) {
	pause, err := part("WINDLASS_KUBERNETES", "pause")
	if err != nil {
		return nil, err
	}
	dns, err := part("WINDLASS_KUBERNETES", "coredns")
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var archives []string
	for _, own := range []struct{ image, entry, program string }{
		{pauseImage, "/pause", pause}, {dnsImage, "/coredns", dns}, {podImage, "/cluster", self},
	} {
		file := c.path(own.entry + ".tar")
		if err := writeImage(file, own.image, map[string]string{own.entry: own.program}, []string{own.entry}); err != nil {
			return nil, err
		}
		archives = append(archives, file)
	}
	return archives, nil
}

// image is the verb of the same name.
func image(arguments []string) error {
	dashes := slices.Index(arguments, "--")
	if dashes < 3 || dashes == len(arguments)-1 {
		return errors.New("wanted: NAME ARCHIVE PATH=FILE… -- ENTRYPOINT…")
	}
	contents := map[string]string{}
	for _, content := range arguments[2:dashes] {
		inside, file, found := strings.Cut(content, "=")
		if !found || !path.IsAbs(inside) {
			return fmt.Errorf("wanted /PATH/IN/THE/IMAGE=FILE, not %q", content)
		}
		contents[inside] = file
	}
	return writeImage(arguments[1], arguments[0], contents, arguments[dashes+1:])
}

// writeImage writes an archive of files with the modes that they have.
func writeImage(file, name string, contents map[string]string, entrypoint []string) error {
	made := archive.Image{Name: name, Config: archive.Config{Entrypoint: entrypoint, Env: []string{"PATH=/usr/bin:/bin"}}}
	for inside, source := range contents {
		content, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		status, err := os.Stat(source)
		if err != nil {
			return err
		}
		made.Files = append(made.Files, archive.File{Path: inside, Mode: status.Mode().Perm(), Content: content})
	}
	return made.Save(file)
}

// load is the verb of the same name.
func load(arguments []string) error {
	if given() != "" {
		return errors.New("the given cluster has its images from a registry: push them there")
	}
	if len(arguments) < 2 {
		return errors.New("wanted: NAME ARCHIVE…")
	}
	cluster, err := find(arguments[0])
	if err != nil {
		return err
	}
	for _, file := range arguments[1:] {
		for _, node := range cluster.nodes() {
			if err := node.load(file); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n Node) load(file string) error {
	if _, err := n.ctr("--namespace", "k8s.io", "images", "import", file); err != nil {
		return fmt.Errorf("load %s on %s: %w", file, n.Name(), err)
	}
	return nil
}

// ctr is containerd's client. It speaks to the socket, so it needs none of the node's namespaces.
func (n Node) ctr(arguments ...string) (string, error) {
	command := exec.Command("ctr", append([]string{"--address", n.containerd()}, arguments...)...)
	command.SysProcAttr = endsWithThis()
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ctr: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return string(output), nil
}
