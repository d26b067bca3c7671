// Package harness is what tests on clusters share, in Go: clusters that end with the test, kubectl, and waiting. It runs
// the command beside it, which tests/run.d/lib.sh builds and names by WINDLASS_CLUSTER.
package harness

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	// What comes true by itself in an idle cluster takes a second or two.
	soon = 60 * time.Second
	// Between two looks: a fraction of that, and next to no work.
	look = 50 * time.Millisecond
)

// Cluster is one that ends with this process, however that ends: it holds the other end of its input.
type Cluster struct {
	*exec.Cmd
	input  io.WriteCloser
	output *bufio.Reader
	errors *strings.Builder
}

// Start begins to bring a cluster up, with the arguments of the verb `up`.
func Start(arguments ...string) (*Cluster, error) {
	cluster := &Cluster{Cmd: Command(append([]string{"up", "--foreground"}, arguments...)...), errors: new(strings.Builder)}
	cluster.Stderr = cluster.errors
	var err error
	if cluster.input, err = cluster.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := cluster.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cluster.output = bufio.NewReader(output)
	return cluster, cluster.Cmd.Start()
}

// Ready waits for the line that says how long it took.
func (c *Cluster) Ready() (string, error) {
	line, err := c.output.ReadString('\n')
	if err != nil {
		_ = c.Wait()
		return "", fmt.Errorf("up: %w: %s", err, c.errors)
	}
	return line, nil
}

// End takes the cluster down and waits until it has gone.
func (c *Cluster) End() {
	_ = c.input.Close()
	_, _ = io.Copy(io.Discard, c.output)
	_ = c.Wait()
}

// Command is the cluster command with arguments, not yet started.
func Command(arguments ...string) *exec.Cmd {
	return exec.Command(os.Getenv("WINDLASS_CLUSTER"), arguments...)
}

// Run carries a verb out and returns what it prints.
func Run(t testing.TB, arguments ...string) string {
	t.Helper()
	output, err := Command(arguments...).CombinedOutput()
	if err != nil {
		t.Fatalf("cluster %s: %v: %s", strings.Join(arguments, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}

// Kube runs kubectl as the administrator of a cluster.
func Kube(t testing.TB, cluster string, arguments ...string) string {
	t.Helper()
	return Run(t, append([]string{"kubectl", cluster}, arguments...)...)
}

// Fetch asks a URL from a pod of the cluster command's own image, over a new connection: the answer, or `unreachable`.
func Fetch(t testing.TB, cluster, space, pod, url string) string {
	t.Helper()
	return Kube(t, cluster, "-n", space, "exec", pod, "--", "/cluster", "fetch", url)
}

// Namespace makes one for the test, whose end nobody waits for.
func Namespace(t testing.TB, cluster string) string {
	t.Helper()
	name := strings.ToLower(t.Name())
	name = name[:min(len(name), 50)]
	Kube(t, cluster, "create", "namespace", name)
	t.Cleanup(func() { Kube(t, cluster, "delete", "namespace", name, "--wait=false") })
	return name
}

// Create makes objects from YAML documents.
func Create(t testing.TB, cluster, space, documents string) {
	t.Helper()
	creating := Command("kubectl", cluster, "-n", space, "create", "-f", "-")
	creating.Stdin = strings.NewReader(documents)
	if output, err := creating.CombinedOutput(); err != nil {
		t.Fatalf("create: %v: %s", err, output)
	}
}

// Apply writes documents as a user does, and returns what is said to that.
func Apply(cluster, space, documents string) (string, error) {
	applying := Command("kubectl", cluster, "-n", space, "apply", "--server-side", "-f", "-")
	applying.Stdin = strings.NewReader(documents)
	output, err := applying.CombinedOutput()
	return string(output), err
}

// Define installs the definitions in a folder and waits until they are served.
func Define(t testing.TB, cluster, definitions string) {
	t.Helper()
	Kube(t, cluster, "apply", "--server-side", "-f", definitions)
	Kube(t, cluster, "wait", "--for=condition=Established", "--timeout=60s", "-f", definitions)
}

// AwaitPods waits until all containers of a namespace are ready.
func AwaitPods(t testing.TB, cluster, space string) {
	t.Helper()
	Eventually(t, func() error {
		ready := Kube(t, cluster, "-n", space, "get", "pods", "--output", "jsonpath={.items[*].status.containerStatuses[*].ready}")
		if ready == "" || strings.Contains(ready, "false") {
			return fmt.Errorf("pods ready: %q", ready)
		}
		return nil
	})
}

// Eventually asks again and again, for a condition that comes true by itself, and says what it saw last if it does not.
func Eventually(t testing.TB, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(soon)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", soon, err)
		}
		time.Sleep(look)
	}
}
