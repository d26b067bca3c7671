package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machine is what clusters could add to and must not: mounts, interfaces and routes of the machine itself.
func machine(t *testing.T) []string {
	t.Helper()
	var seen []string
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		seen = append(seen, "mount "+line)
	}
	routes, err := os.ReadFile("/proc/self/net/route")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(routes)) {
		seen = append(seen, "route "+line)
	}
	interfaces, err := os.ReadDir("/sys/class/net")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range interfaces {
		seen = append(seen, "interface "+entry.Name())
	}
	return seen
}

// traces is all that is there of one cluster: its files and cgroups, and each process that was told of its folder, is in
// one of its cgroups, or sees one of its mounts. A network namespace lives by one of these or by a mount of the machine.
func traces(t *testing.T, name string) []string {
	t.Helper()
	folder := filepath.Join(root(), name)
	var seen []string
	patterns := []string{folder, filepath.Join(cgroupRoot, "*", cgroupOf(name)), filepath.Join(cgroupRoot, cgroupOf(name))}
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, found...)
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range processes {
		for _, file := range []string{"cmdline", "cgroup", "mountinfo"} {
			// A process may end while it is looked at.
			content, _ := os.ReadFile(filepath.Join(process, file))
			if strings.Contains(string(content), folder) || strings.Contains(string(content), cgroupOf(name)+"/") {
				seen = append(seen, process+" by its "+file)
				break
			}
		}
	}
	return seen
}

// same fails with what is there now and was not before, or no longer is.
func same(before, now, left []string) error {
	var changed []error
	for _, line := range left {
		changed = append(changed, fmt.Errorf("left behind: %s", line))
	}
	for _, line := range now {
		if !slices.Contains(before, line) {
			changed = append(changed, fmt.Errorf("new: %s", line))
		}
	}
	for _, line := range before {
		if !slices.Contains(now, line) {
			changed = append(changed, fmt.Errorf("gone: %s", line))
		}
	}
	return errors.Join(changed...)
}
