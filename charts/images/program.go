package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"windlass/charts/images/archive"
)

// program is an executable with what it needs to start: the libraries at the places where the loader looks for them, and
// the licences of the packages that they are from. Of glibc nothing else is loaded while it runs: since 2.34 the modules
// for names, `files` and `dns`, are in it.
func program(inside, source string) ([]archive.File, error) {
	stripped, err := strip(source)
	if err != nil {
		return nil, err
	}
	files := []archive.File{{Path: inside, Mode: 0o755, Content: stripped}}
	libraries, err := libraries(source)
	if err != nil {
		return nil, err
	}
	for _, library := range libraries {
		file, err := archive.Executable(library, library)
		if err != nil {
			return nil, err
		}
		copyright, err := copyright(library)
		if err != nil {
			return nil, err
		}
		files = append(files, file, copyright)
	}
	return files, nil
}

// strip leaves the names of functions, which a panic's backtrace prints, and takes the lines: four fifths of the size.
func strip(source string) ([]byte, error) {
	folder, err := os.MkdirTemp("", "images-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	stripped := filepath.Join(folder, "stripped")
	if output, err := exec.Command("strip", "--strip-debug", "-o", stripped, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("strip %s: %w: %s", source, err, strings.TrimSpace(string(output)))
	}
	return os.ReadFile(stripped)
}

// libraries asks the loader what it would load, itself included: nothing for a static program.
func libraries(source string) ([]string, error) {
	binary, err := elf.Open(source)
	if err != nil {
		return nil, err
	}
	defer binary.Close()
	interpreted := false
	for _, segment := range binary.Progs {
		interpreted = interpreted || segment.Type == elf.PT_INTERP
	}
	if !interpreted {
		return nil, nil
	}
	output, err := exec.Command("ldd", source).Output()
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w", source, err)
	}
	var paths []string
	for line := range strings.Lines(string(output)) {
		path, found := libraryPath(line)
		if !found {
			continue
		}
		if path == "" {
			return nil, fmt.Errorf("%s needs what this machine lacks: %s", source, strings.TrimSpace(line))
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// libraryPath reads a line of ldd's: `name => /path (address)`, `/path (address)`, `name => not found`, or a name without a
// file, which is the kernel's.
func libraryPath(line string) (path string, found bool) {
	named, resolved, arrow := strings.Cut(strings.TrimSpace(line), " => ")
	if !arrow {
		resolved = named
	}
	path, _, _ = strings.Cut(resolved, " (")
	if filepath.IsAbs(path) {
		return path, true
	}
	return "", arrow
}

// copyright is the licence of the Debian package that a library is from. There is no image without it.
func copyright(library string) (archive.File, error) {
	var failures []error
	// Where /lib is a link to /usr/lib, the package manager may know a file by its other name.
	for _, path := range []string{library, "/usr" + library} {
		output, err := exec.Command("dpkg", "--search", path).Output()
		if err != nil {
			failures = append(failures, fmt.Errorf("dpkg --search %s: %w", path, err))
			continue
		}
		owner, _, _ := strings.Cut(string(output), ":")
		file := "/usr/share/doc/" + owner + "/copyright"
		content, err := os.ReadFile(file)
		return archive.File{Path: file, Mode: 0o644, Content: content}, err
	}
	return archive.File{}, fmt.Errorf("the licence of %s: %w", library, errors.Join(failures...))
}
