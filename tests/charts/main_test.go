// Package charts tests what is installed on Kubernetes: the images and the charts, on a real cluster.
package charts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"windlass/tests/cluster/harness"
)

// One cluster serves all tests. Its policies are enforced, and two nodes are enough to spread over.
const cluster = "t-charts"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// The machine's own cluster is not meant.
		os.Unsetenv("KUBECONFIG")
		running, err := harness.Start("--nodes=2", "--policies", cluster)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer running.End()
		// The images are made while the cluster starts.
		folder, archives, err := images()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer os.RemoveAll(folder)
		line, err := running.Ready()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Print(line)
		if output, err := harness.Command(append([]string{"load", cluster}, archives...)...).CombinedOutput(); err != nil {
			fmt.Printf("load: %v: %s", err, output)
			return 1
		}
		if err := define(); err != nil {
			fmt.Println(err)
			return 1
		}
		return m.Run()
	}())
}

// define installs the definitions, which are the operator's chart's.
func define() error {
	const definitions = "../../charts/windlass-operator/files/crds"
	for _, arguments := range [][]string{
		{"apply", "--server-side", "-f", definitions},
		{"wait", "--for=condition=Established", "--timeout=60s", "-f", definitions},
	} {
		if output, err := harness.Command(append([]string{"kubectl", cluster}, arguments...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("kubectl %v: %w: %s", arguments, err, output)
		}
	}
	return nil
}

// images makes an archive of every image by the command that users have.
func images() (folder string, archives []string, err error) {
	folder, err = os.MkdirTemp("", "images-")
	if err != nil {
		return "", nil, err
	}
	for _, name := range []string{"windlass", "windlass-push", "windlass-upload"} {
		file := filepath.Join(folder, name+".tar")
		making := exec.Command("../../charts/images/run", "--programs", filepath.Dir(os.Getenv("WINDLASS_BIN")),
			"archive", name, image(name), file)
		making.Stdout, making.Stderr = os.Stdout, os.Stderr
		if err := making.Run(); err != nil {
			os.RemoveAll(folder)
			return "", nil, fmt.Errorf("make the image %s: %w", name, err)
		}
		archives = append(archives, file)
	}
	return folder, archives, nil
}

func image(name string) string {
	return "windlass.test/" + name + ":local"
}
