package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// How crates name the files that must go with their code.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|copyright|notice|unlicense)`)

// metadata is what is read of `cargo metadata`.
type metadata struct {
	Packages []struct {
		ID, Name, Version, License string
		Source                     *string
		ManifestPath               string `json:"manifest_path"`
	}
	Resolve struct {
		Nodes []struct {
			ID   string
			Deps []struct {
				Pkg      string
				DepKinds []struct{ Kind *string } `json:"dep_kinds"`
			}
		}
	}
}

// crateLicences is one text with the licences of all crates that are linked into a package: what most of them ask for.
func crateLicences(checkout, name string) ([]byte, error) {
	command := exec.Command("cargo", "metadata", "--locked", "--format-version=1", "--filter-platform="+platform())
	command.Dir = checkout
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("cargo metadata: %w", err)
	}
	var world metadata
	if err := json.Unmarshal(output, &world); err != nil {
		return nil, err
	}
	linked, err := world.linked(name)
	if err != nil {
		return nil, err
	}
	var crates []string
	users := map[string][]string{}
	for _, one := range world.Packages {
		if !linked[one.ID] || one.Source == nil {
			continue
		}
		crate := one.Name + " " + one.Version
		crates = append(crates, crate+": "+one.License)
		texts, err := licenceTexts(filepath.Dir(one.ManifestPath))
		if err != nil {
			return nil, err
		}
		for _, text := range texts {
			users[text] = append(users[text], crate)
		}
	}
	return notice(name, crates, users), nil
}

// linked is the ids of the packages that a package is built from: not those of build scripts and tests.
func (m metadata) linked(name string) (map[string]bool, error) {
	next := map[string][]string{}
	for _, node := range m.Resolve.Nodes {
		for _, dependency := range node.Deps {
			for _, kind := range dependency.DepKinds {
				if kind.Kind == nil {
					next[node.ID] = append(next[node.ID], dependency.Pkg)
				}
			}
		}
	}
	seen := map[string]bool{}
	var visit func(id string)
	visit = func(id string) {
		if !seen[id] {
			seen[id] = true
			for _, dependency := range next[id] {
				visit(dependency)
			}
		}
	}
	for _, one := range m.Packages {
		if one.Name == name && one.Source == nil {
			visit(one.ID)
		}
	}
	if len(seen) == 0 {
		return nil, fmt.Errorf("no package %q in the workspace", name)
	}
	return seen, nil
}

func licenceTexts(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !licenceFile.MatchString(entry.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, err
		}
		texts = append(texts, strings.TrimSpace(string(text)))
	}
	return texts, nil
}

// notice names every crate first, then each text once under those who ship it.
func notice(name string, crates []string, users map[string][]string) []byte {
	slices.Sort(crates)
	var sections []string
	for text, by := range users {
		slices.Sort(by)
		sections = append(sections, strings.Join(slices.Compact(by), ", ")+":\n\n"+text)
	}
	slices.Sort(sections)
	var notice bytes.Buffer
	fmt.Fprintf(&notice, "What %s is built from, beside its own code:\n\n%s\n", name, strings.Join(crates, "\n"))
	for _, section := range sections {
		fmt.Fprintf(&notice, "\n%s\n%s\n", strings.Repeat("-", 80), section)
	}
	return notice.Bytes()
}

// platform is this machine's, in Rust's words: images are made for the machine that they are made on.
func platform() string {
	architecture := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	return architecture + "-unknown-linux-gnu"
}
