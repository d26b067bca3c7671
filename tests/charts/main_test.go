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

// One cluster serves nearly all tests. Its policies are enforced, it has a gateway, and two nodes are enough to spread over.
const cluster = "t-charts"

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// The machine's own cluster is not meant.
		os.Unsetenv("KUBECONFIG")
		running, err := harness.Start("--nodes=2", "--policies", "--gateway", cluster)
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
		if err := installOperator(); err != nil {
			fmt.Println(err)
			return 1
		}
		return m.Run()
	}())
}

// images makes an archive of every image by the command that users have.
func images() (folder string, archives []string, err error) {
	folder, err = os.MkdirTemp("", "images-")
	if err != nil {
		return "", nil, err
	}
	for _, name := range []string{"windlass", "windlass-operator", "windlass-push", "windlass-upload"} {
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
	redis, err := redisImage(folder)
	if err != nil {
		os.RemoveAll(folder)
		return "", nil, err
	}
	return folder, append(archives, redis), nil
}

// redisImage makes an image of Debian's redis-server, with the libraries that the loader names.
func redisImage(folder string) (string, error) {
	const program = "/usr/bin/redis-server"
	loaded, err := exec.Command("ldd", program).Output()
	if err != nil {
		return "", fmt.Errorf("ldd: %w", err)
	}
	file := filepath.Join(folder, "redis.tar")
	arguments := []string{"image", image("redis"), file, program + "=" + program}
	for _, library := range matches(string(loaded), `(?m)(/\S+) \(0x`) {
		arguments = append(arguments, library+"="+library)
	}
	if output, err := harness.Command(append(arguments, "--", program)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("make an image of Redis: %w: %s", err, output)
	}
	return file, nil
}

func image(name string) string {
	return "windlass.test/" + name + ":local"
}
