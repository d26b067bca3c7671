// Package archive writes container images as docker-archives: one tar file that containerd, Docker, Podman and Skopeo
// load, made from what is in memory. It needs no registry and no engine, and the same image makes the same bytes.
package archive

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
)

// Image is what an archive holds.
type Image struct {
	// Name is the whole reference under which the image is loaded: `windlass.test/pause:local`.
	Name   string
	Config Config
	Files  []File
}

// Config is how a container of the image starts, in the words of the image specification.
type Config struct {
	User       string            `json:",omitempty"`
	Env        []string          `json:",omitempty"`
	Entrypoint []string          `json:",omitempty"`
	WorkingDir string            `json:",omitempty"`
	Labels     map[string]string `json:",omitempty"`
}

// File is a regular file or a folder of the image. All belong to root; folders on the way to a file need not be given.
type File struct {
	// Path is absolute.
	Path string
	// Mode is the permissions, and fs.ModeDir for a folder.
	Mode    fs.FileMode
	Content []byte
}

// Executable is a file that all may run, with the content of a file of this machine.
func Executable(path, source string) (File, error) {
	content, err := os.ReadFile(source)
	return File{Path: path, Mode: 0o755, Content: content}, err
}

// Write writes the archive: a configuration, one layer, and the manifest that joins the two.
func (i Image) Write(to io.Writer) error {
	layer, err := layerOf(i.Files)
	if err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           runtime.GOOS,
		"config":       i.Config,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{digest(layer)}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{
		{"Config": "config.json", "RepoTags": []string{i.Name}, "Layers": []string{"layer.tar"}},
	})
	if err != nil {
		return err
	}
	writer := tar.NewWriter(to)
	for _, file := range []File{
		{Path: "/manifest.json", Mode: 0o644, Content: manifest},
		{Path: "/config.json", Mode: 0o644, Content: config},
		{Path: "/layer.tar", Mode: 0o644, Content: layer},
	} {
		if err := add(writer, file); err != nil {
			return err
		}
	}
	return writer.Close()
}

// Save writes the archive to a file.
func (i Image) Save(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := i.Write(file); err != nil {
		return err
	}
	return file.Close()
}

func layerOf(files []File) ([]byte, error) {
	files = slices.SortedFunc(slices.Values(files), func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	var layer bytes.Buffer
	writer := tar.NewWriter(&layer)
	written := map[string]bool{"/": true}
	for _, file := range files {
		if file.Mode.IsDir() {
			if err := addFolders(writer, written, file.Path); err != nil {
				return nil, err
			}
			continue
		}
		if err := addFolders(writer, written, path.Dir(file.Path)); err != nil {
			return nil, err
		}
		if err := add(writer, file); err != nil {
			return nil, err
		}
	}
	return layer.Bytes(), writer.Close()
}

func addFolders(writer *tar.Writer, written map[string]bool, folder string) error {
	if written[folder] {
		return nil
	}
	if err := addFolders(writer, written, path.Dir(folder)); err != nil {
		return err
	}
	written[folder] = true
	return writer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.TrimPrefix(folder, "/") + "/", Mode: 0o755})
}

// add writes no time, so that none is in the bytes.
func add(writer *tar.Writer, file File) error {
	header := &tar.Header{
		Name: strings.TrimPrefix(file.Path, "/"),
		Mode: int64(file.Mode.Perm()),
		Size: int64(len(file.Content)),
	}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	_, err := writer.Write(file.Content)
	return err
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
