package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"windlass/charts/images/archive"
)

const (
	// The user and group of all images: above what distributions give to people, and the number that others use for it.
	nonroot = "65532:65532"
	// A list that is part of every image and is none.
	commonList = "common"
)

// sources is where the files of images come from.
type sources struct {
	checkout string
	programs string
}

// names lists the images.
func (s sources) names() ([]string, error) {
	entries, err := os.ReadDir(s.lists())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if entry.Name() != commonList {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// image reads a list and all that it names. Each line of a list is one of
//
//	include LIST            the lines of another list
//	folder PATH             an empty folder: a place for a volume
//	file PATH SOURCE        a file that all may read; SOURCE is absolute, or relative to charts/images
//	program PATH [SOURCE]   an executable without its debug information, and the libraries that it loads with their
//	                        licences; SOURCE is the release binary of the same name if not given. The first is started
//	crates PACKAGE          the licences of all crates that are in a package of the workspace
//
// The first program is the entry point.
func (s sources) image(name string) (archive.Image, error) {
	if known, err := s.names(); err != nil || !slices.Contains(known, name) {
		return archive.Image{}, fmt.Errorf("no image %q; there are: %s", name, strings.Join(known, ", "))
	}
	image := archive.Image{Config: archive.Config{
		User:       nonroot,
		Env:        []string{"PATH=/usr/bin"},
		WorkingDir: "/var/lib/windlass",
		Labels: map[string]string{
			"org.opencontainers.image.title":    name,
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}}
	if err := s.read(name, &image); err != nil {
		return archive.Image{}, err
	}
	// Two programs may load the same library; that their files are the same is the machine's word.
	slices.SortFunc(image.Files, func(a, b archive.File) int { return strings.Compare(a.Path, b.Path) })
	image.Files = slices.CompactFunc(image.Files, func(a, b archive.File) bool { return a.Path == b.Path })
	return image, nil
}

func (s sources) lists() string {
	return filepath.Join(s.checkout, "charts", "images", "lists")
}

func (s sources) read(list string, image *archive.Image) error {
	content, err := os.ReadFile(filepath.Join(s.lists(), list))
	if err != nil {
		return err
	}
	for number, line := range strings.Split(string(content), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := s.line(words[0], words[1:], image); err != nil {
			return fmt.Errorf("%s:%d: %w", list, number+1, err)
		}
	}
	return nil
}

func (s sources) line(kind string, words []string, image *archive.Image) error {
	switch {
	case kind == "include" && len(words) == 1:
		return s.read(words[0], image)
	case kind == "folder" && len(words) == 1:
		image.Files = append(image.Files, archive.File{Path: words[0], Mode: fs.ModeDir | 0o755})
		return nil
	case kind == "file" && len(words) == 2:
		content, err := os.ReadFile(s.source(words[1]))
		image.Files = append(image.Files, archive.File{Path: words[0], Mode: 0o644, Content: content})
		return err
	case kind == "program" && (len(words) == 1 || len(words) == 2):
		source := filepath.Join(s.programs, path.Base(words[0]))
		if len(words) == 2 {
			source = s.source(words[1])
		}
		files, err := program(words[0], source)
		image.Files = append(image.Files, files...)
		if image.Config.Entrypoint == nil {
			image.Config.Entrypoint = words[:1]
		}
		return err
	case kind == "crates" && len(words) == 1:
		notice, err := crateLicences(s.checkout, words[0])
		image.Files = append(image.Files, archive.File{Path: "/usr/share/doc/windlass/THIRD-PARTY", Mode: 0o644, Content: notice})
		return err
	default:
		return fmt.Errorf("no line of a list: %s %s", kind, strings.Join(words, " "))
	}
}

func (s sources) source(named string) string {
	if filepath.IsAbs(named) {
		return named
	}
	return filepath.Join(s.checkout, "charts", "images", named)
}
