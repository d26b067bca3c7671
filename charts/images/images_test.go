package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"windlass/charts/images/archive"
)

// Some write the kind of a file into its mode as well.
const permissions = 0o7777

// The release binaries are made by the stage `build`.
func built() sources {
	return sources{checkout: "../..", programs: filepath.Dir(os.Getenv("WINDLASS_BIN"))}
}

func TestTheDockerfileAndTheBuilderMakeTheSameImages(t *testing.T) {
	for name, image := range images(t) {
		t.Run(name, func(t *testing.T) {
			image.Name = "localhost/" + name + ":local"
			own := filepath.Join(t.TempDir(), "own.tar")
			if err := image.Save(own); err != nil {
				t.Fatal(err)
			}
			foreign := byBuildah(t, name, image)
			ownConfig, ownFiles := unpack(t, own)
			foreignConfig, foreignFiles := unpack(t, foreign)
			if !reflect.DeepEqual(ownConfig, foreignConfig) {
				t.Errorf("started as %v here, as %v by the Dockerfile", ownConfig, foreignConfig)
			}
			for path := range ownFiles {
				if ownFiles[path] != foreignFiles[path] {
					t.Errorf("%s: %s here, by the Dockerfile %q", path, ownFiles[path], foreignFiles[path])
				}
				delete(foreignFiles, path)
			}
			if len(foreignFiles) > 0 {
				t.Errorf("by the Dockerfile only: %v", foreignFiles)
			}
			report(name, image)
		})
	}
}

func TestTheSameFilesMakeTheSameBytes(t *testing.T) {
	for name, first := range images(t) {
		second, err := built().image(name)
		if err != nil {
			t.Fatal(err)
		}
		var once, again bytes.Buffer
		if err := first.Write(&once); err != nil {
			t.Fatal(err)
		}
		if err := second.Write(&again); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(once.Bytes(), again.Bytes()) {
			t.Errorf("%s: made twice, and not the same", name)
		}
	}
}

func TestAnImageHoldsItsProgramWithItsChildAndNoOther(t *testing.T) {
	// Started by the image's program, and by nobody else.
	children := map[string]string{"windlass-redis": "/usr/bin/redis-server"}
	for name, image := range images(t) {
		loader := 0
		for _, file := range image.Files {
			switch {
			case file.Mode.IsDir():
			case strings.HasPrefix(filepath.Base(file.Path), "ld-linux"):
				loader++
			case strings.Contains(filepath.Base(file.Path), ".so"):
			case file.Path == children[name]:
			case file.Mode.Perm()&0o111 != 0 && !slices.Contains(image.Config.Entrypoint, file.Path):
				t.Errorf("%s: %s can be run", name, file.Path)
			}
			if file.Mode.Perm()&0o022 != 0 {
				t.Errorf("%s: %s can be written by others than root", name, file.Path)
			}
		}
		if loader != 1 {
			t.Errorf("%s: %d loaders of programs", name, loader)
		}
	}
}

func TestTheLicencesOfAllThatIsLinkedAreInTheImage(t *testing.T) {
	image := images(t)["windlass-upload"]
	text := func(path string) string {
		at := slices.IndexFunc(image.Files, func(file archive.File) bool { return file.Path == path })
		if at < 0 {
			t.Fatalf("no %s", path)
		}
		return string(image.Files[at].Content)
	}
	crates := text("/usr/share/doc/windlass/THIRD-PARTY")
	for _, want := range []string{"\ntokio 1.", "\nrusqlite ", "Permission is hereby granted, free of charge"} {
		if !strings.Contains(crates, want) {
			t.Errorf("the crates' licences lack %q", want)
		}
	}
	// What tests and build scripts need is in no binary.
	for _, never := range []string{"\nproptest ", "\ncc 1."} {
		if strings.Contains(crates, never) {
			t.Errorf("the crates' licences have %q", never)
		}
	}
	text("/usr/share/doc/libc6/copyright")
	text("/usr/share/doc/windlass/LICENSE")
}

func TestTheLoadersLinesAreRead(t *testing.T) {
	for _, line := range []struct {
		text, path string
		found      bool
	}{
		{"\tlinux-vdso.so.1 (0x00007fb67a3de000)\n", "", false},
		{"\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fb67893e000)\n", "/lib/x86_64-linux-gnu/libc.so.6", true},
		{"\t/lib64/ld-linux-x86-64.so.2 (0x00007fb67a3e0000)\n", "/lib64/ld-linux-x86-64.so.2", true},
		{"\tlibssl.so.3 => not found\n", "", true},
	} {
		if path, found := libraryPath(line.text); path != line.path || found != line.found {
			t.Errorf("%q: %q, %v", line.text, path, found)
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	full := t.TempDir()
	t.Setenv("WINDLASS_CHECKOUT", "../..")
	for _, mistake := range []struct {
		arguments []string
		says      string
	}{
		{[]string{"archive", "windlass-none", "name", "file"}, "there are: windlass, "},
		{[]string{"archive", commonList, "name", "file"}, "no image"},
		{[]string{"--programs", full, "archive", "windlass", "name", "file"}, "windlass:3: strip " + full},
		{[]string{"push"}, "--help"},
	} {
		if err := run(mistake.arguments); err == nil || !strings.Contains(err.Error(), mistake.says) {
			t.Errorf("%v: %v", mistake.arguments, err)
		}
	}
	if err := writeRootfs(full, nil); err == nil {
		t.Error("a folder that is there was filled")
	}
}

func images(t *testing.T) map[string]archive.Image {
	t.Helper()
	made, err := madeOnce()
	if err != nil {
		t.Fatal(err)
	}
	return made
}

var madeOnce = sync.OnceValues(func() (map[string]archive.Image, error) {
	names, err := built().names()
	if err != nil {
		return nil, err
	}
	made := map[string]archive.Image{}
	for _, name := range names {
		if made[name], err = built().image(name); err != nil {
			return nil, err
		}
	}
	return made, nil
})

// byBuildah makes the image as the Dockerfile's head says, with an engine whose store goes with the test.
func byBuildah(t *testing.T, name string, image archive.Image) (file string) {
	t.Helper()
	folder := t.TempDir()
	rootfs := filepath.Join(folder, "rootfs")
	if err := writeRootfs(rootfs, image.Files); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(folder, "foreign.tar")
	store := []string{"--root", filepath.Join(folder, "store"), "--runroot", filepath.Join(folder, "state"), "--storage-driver=vfs"}
	for _, arguments := range [][]string{
		{"build", "--isolation=chroot", "--build-context=rootfs=" + rootfs, "--target=" + name, "--identity-label=false",
			"--timestamp=0", "--tag=" + image.Name, "."},
		{"push", image.Name, "docker-archive:" + file + ":" + image.Name},
	} {
		if output, err := exec.Command("buildah", append(store, arguments...)...).CombinedOutput(); err != nil {
			t.Fatalf("buildah %s: %v: %s", arguments[0], err, output)
		}
	}
	return file
}

// unpack reads an archive as an engine does: how a container starts, and of each file the kind, mode, owner and content.
func unpack(t *testing.T, path string) (archive.Config, map[string]string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]byte{}
	each(t, content, func(header *tar.Header, content []byte) { parts[header.Name] = content })
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(parts["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	var config struct{ Config archive.Config }
	if err := json.Unmarshal(parts[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, layer := range manifest[0].Layers {
		each(t, parts[layer], func(header *tar.Header, content []byte) {
			files["/"+strings.Trim(header.Name, "/")] = fmt.Sprintf("%c %o %d:%d %x", header.Typeflag,
				header.Mode&permissions, header.Uid, header.Gid, sha256.Sum256(content))
		})
	}
	return config.Config, files
}

func each(t *testing.T, archive []byte, visit func(*tar.Header, []byte)) {
	t.Helper()
	reader := tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		visit(header, content)
	}
}
