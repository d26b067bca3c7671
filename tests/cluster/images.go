package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strings"
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
		archive := c.path(own.entry + ".tar")
		if err := writeImage(archive, own.image, map[string]string{own.entry: own.program}, []string{own.entry}); err != nil {
			return nil, err
		}
		archives = append(archives, archive)
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

// writeImage writes a docker-archive: one layer of files, owned by root, with the modes that they have; a configuration;
// and the manifest that joins the two. The same files make the same bytes.
func writeImage(archive, name string, contents map[string]string, entrypoint []string) error {
	layer, err := layerOf(contents)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(layer)
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           runtime.GOOS,
		"config":       map[string]any{"Entrypoint": entrypoint, "Env": []string{"PATH=/usr/bin:/bin"}},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(digest[:])}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return err
	}
	file, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	writer := tar.NewWriter(file)
	for _, entry := range []struct {
		name    string
		content []byte
	}{{"manifest.json", manifest}, {"config.json", config}, {"layer.tar", layer}} {
		if err := writer.WriteHeader(&tar.Header{Name: entry.name, Mode: 0o644, Size: int64(len(entry.content))}); err != nil {
			return err
		}
		if _, err := writer.Write(entry.content); err != nil {
			return err
		}
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return file.Close()
}

func layerOf(contents map[string]string) ([]byte, error) {
	var layer bytes.Buffer
	writer := tar.NewWriter(&layer)
	folders := map[string]bool{"/": true}
	var paths []string
	for inside := range contents {
		paths = append(paths, inside)
	}
	slices.Sort(paths)
	for _, inside := range paths {
		if err := writeFolders(writer, folders, path.Dir(inside)); err != nil {
			return nil, err
		}
		content, err := os.ReadFile(contents[inside])
		if err != nil {
			return nil, err
		}
		status, err := os.Stat(contents[inside])
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Name: strings.TrimPrefix(inside, "/"), Mode: int64(status.Mode().Perm()), Size: int64(len(content))}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(content); err != nil {
			return nil, err
		}
	}
	return layer.Bytes(), writer.Close()
}

func writeFolders(writer *tar.Writer, written map[string]bool, folder string) error {
	if written[folder] {
		return nil
	}
	if err := writeFolders(writer, written, path.Dir(folder)); err != nil {
		return err
	}
	written[folder] = true
	return writer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(folder, "/") + "/", Mode: 0o755})
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
	for _, archive := range arguments[1:] {
		for _, node := range cluster.nodes() {
			if err := node.load(archive); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n Node) load(archive string) error {
	if _, err := n.ctr("--namespace", "k8s.io", "images", "import", archive); err != nil {
		return fmt.Errorf("load %s on %s: %w", archive, n.Name(), err)
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
