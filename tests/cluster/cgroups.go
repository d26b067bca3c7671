package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// All clusters' cgroups are below this one, in every hierarchy.
	cgroupParent = "/windlass-clusters"
)

func cgroupOf(name string) string { return filepath.Join(cgroupParent, name) }

// Version 2 has one hierarchy at the root; version 1 has a folder for each.
func hierarchies() (folders []string, unified bool, err error) {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}, true, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, false, err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			folders = append(folders, filepath.Join(cgroupRoot, entry.Name()))
		}
	}
	return folders, false, nil
}

// makeCgroups makes the cgroup that a kubelet takes as its root. Each level must hand its controllers (version 2) or its
// processors and memory nodes (cpuset, version 1) on to the next, or nothing can be put into it.
func makeCgroups(cgroup string) error {
	folders, unified, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range folders {
		folder := hierarchy
		for _, level := range strings.Split(strings.Trim(cgroup, "/"), "/") {
			parent := folder
			folder = filepath.Join(folder, level)
			if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			if err := handOn(parent, folder, unified); err != nil {
				return err
			}
		}
		if unified {
			if err := delegate(folder); err != nil {
				return err
			}
		}
	}
	return nil
}

func handOn(parent, folder string, unified bool) error {
	if unified {
		return delegate(parent)
	}
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func delegate(folder string) error {
	return os.WriteFile(filepath.Join(folder, "cgroup.subtree_control"), []byte("+cpu +cpuset +memory +pids"), 0o644)
}

// removeCgroups removes a tree of cgroups. A process that was killed leaves its cgroup a moment later.
func removeCgroups(cgroup string) error {
	folders, _, err := hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range folders {
		err := until(10*time.Second, "remove the cgroups of "+cgroup, func() error {
			return removeTree(filepath.Join(hierarchy, cgroup))
		})
		if err != nil {
			return err
		}
		// Goes with the last cluster; as long as there is another one, it stays.
		_ = syscall.Rmdir(filepath.Join(hierarchy, cgroupParent))
	}
	return nil
}

// Only rmdir works in this file system, from the leaves on.
func removeTree(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("rmdir %s: %w", folder, err)
	}
	return nil
}
