// Makes the images of Windlass from local files: as a folder that the Dockerfile copies, or as a docker-archive without
// any engine or registry. Both are made from one list an image (lists/), so they hold the same.
//
// What it reads are release binaries, the libraries of the Debian that it runs on, and the licences of both. It takes
// nothing from a network, but lets cargo fetch what the lock file names and the machine lacks.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"windlass/charts/images/archive"
)

const usage = `Makes the images of Windlass from local files, without a registry.

  images list                          the images
  images rootfs IMAGE DIR              a folder of what is in the image, for charts/images/Dockerfile
  images archive IMAGE NAME FILE       the image as a docker-archive that is loaded as NAME, made without an engine

Flags, before the verb:
  --programs DIR   where the release binaries are (target/release, or that of CARGO_TARGET_DIR)

charts/images/run builds this and runs it; cargo build --release makes the binaries.
`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	from := sources{checkout: "."}
	if set := os.Getenv("WINDLASS_CHECKOUT"); set != "" {
		from.checkout = set
	}
	flags := flag.NewFlagSet("images", flag.ContinueOnError)
	flags.Usage = func() { fmt.Print(usage) }
	flags.StringVar(&from.programs, "programs", defaultPrograms(from.checkout), "")
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	switch arguments := flags.Args(); {
	case len(arguments) == 1 && arguments[0] == "list":
		names, err := from.names()
		if err == nil {
			fmt.Println(strings.Join(names, "\n"))
		}
		return err
	case len(arguments) == 3 && arguments[0] == "rootfs":
		image, err := from.image(arguments[1])
		if err != nil {
			return err
		}
		report(arguments[1], image)
		return writeRootfs(arguments[2], image.Files)
	case len(arguments) == 4 && arguments[0] == "archive":
		image, err := from.image(arguments[1])
		if err != nil {
			return err
		}
		report(arguments[1], image)
		image.Name = arguments[2]
		return image.Save(arguments[3])
	default:
		return errors.New("no such verb, or not with these arguments; --help lists them")
	}
}

func defaultPrograms(checkout string) string {
	if target := os.Getenv("CARGO_TARGET_DIR"); target != "" {
		return filepath.Join(target, "release")
	}
	return filepath.Join(checkout, "target", "release")
}

func report(name string, image archive.Image) {
	var bytes, files int
	for _, file := range image.Files {
		if !file.Mode.IsDir() {
			bytes += len(file.Content)
			files++
		}
	}
	fmt.Printf("%s: %.1f MiB in %d files\n", name, float64(bytes)/(1<<20), files)
}

// writeRootfs fills a new folder. Modes are set apart from the writing, so that no umask is in the image.
func writeRootfs(folder string, files []archive.File) error {
	if err := os.Mkdir(folder, 0o755); err != nil {
		return err
	}
	for _, file := range files {
		inside := filepath.Join(folder, filepath.FromSlash(file.Path))
		parents := inside
		if !file.Mode.IsDir() {
			parents = filepath.Dir(inside)
		}
		if err := os.MkdirAll(parents, 0o755); err != nil {
			return err
		}
		if file.Mode.IsDir() {
			continue
		}
		if err := os.WriteFile(inside, file.Content, 0o644); err != nil {
			return err
		}
		if err := os.Chmod(inside, file.Mode.Perm()); err != nil {
			return err
		}
	}
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return os.Chmod(path, 0o755)
	})
}
