package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"windlass/tests/cluster/harness"
)

// Two clusters serve all tests: `spread` has two nodes, a gateway, and enforces policies, `plain` none of these. A test that takes a
// cluster down has one of its own.
const (
	spread = "t-spread"
	plain  = "t-plain"
)

// What leads to the gateway of `spread` on the machine.
var publishedAddress string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		// The machine's own clusters are not meant.
		os.Unsetenv("KUBECONFIG")
		port, err := freePort()
		if err != nil {
			fmt.Println(err)
			return 1
		}
		publishedAddress = loopback(port)
		began := time.Now()
		var running []*harness.Cluster
		for _, arguments := range [][]string{{"--nodes=2", "--policies", "--gateway", fmt.Sprintf("--publish=%d", port), spread}, {plain}} {
			cluster, err := harness.Start(arguments...)
			if err != nil {
				fmt.Println(err)
				return 1
			}
			defer cluster.End()
			running = append(running, cluster)
		}
		for _, cluster := range running {
			line, err := cluster.Ready()
			if err != nil {
				fmt.Println(err)
				return 1
			}
			fmt.Print(line)
		}
		fmt.Printf("both side by side after %.1f s\n", time.Since(began).Seconds())
		return m.Run()
	}())
}

func TestNodesAreReadyAndOfTheVersionThatWasBuilt(t *testing.T) {
	conditions := harness.Kube(t, spread, "get", "nodes", "--output", `jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{end}`)
	if conditions != "TrueTrue" {
		t.Fatalf("Ready: %s", conditions)
	}
	versions := harness.Kube(t, spread, "version", "--output", "yaml")
	module, err := os.ReadFile("components/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(module), "k8s.io/kubernetes ")
	version := strings.Fields(rest)[0]
	if strings.Count(versions, "gitVersion: "+version+"\n") != 2 {
		t.Fatalf("wanted %s of client and server:\n%s", version, versions)
	}
}

func TestAPodReachesAServiceByItsName(t *testing.T) {
	space := harness.Namespace(t, plain)
	harness.Create(t, plain, space, deployment("web", 1)+service("web")+pod("client", ""))
	harness.AwaitPods(t, plain, space)
	// A Service's rules reach a node a moment after its pods are ready.
	for _, url := range []string{"http://web/", fmt.Sprintf("http://web.%s.svc.cluster.local/", space)} {
		harness.Eventually(t, func() error {
			if answer := harness.Fetch(t, plain, space, "client", url); !strings.HasPrefix(answer, "web-") {
				return fmt.Errorf("%s: %q", url, answer)
			}
			return nil
		})
	}
}

func TestPodsSpreadOverTwoNodesAndADrainMovesThem(t *testing.T) {
	space := harness.Namespace(t, spread)
	harness.Create(t, spread, space, deployment("web", 2)+service("web"))
	harness.AwaitPods(t, spread, space)
	if on := nodesOf(t, spread, space); !slices.Equal(on, []string{"node-1", "node-2"}) {
		t.Fatalf("two pods on %v", on)
	}
	t.Cleanup(func() { harness.Kube(t, spread, "uncordon", "node-2") })
	harness.Kube(t, spread, "drain", "node-2", "--ignore-daemonsets", "--timeout=60s", "--pod-selector=app=web")
	harness.Eventually(t, func() error {
		if on := nodesOf(t, spread, space); !slices.Equal(on, []string{"node-1", "node-1"}) {
			return fmt.Errorf("after the drain the pods are on %v", on)
		}
		return nil
	})
}

func TestAPolicyStopsWhatItSaysAndLetsTheRestThrough(t *testing.T) {
	if verdict := harness.Run(t, "enforcement", spread); verdict != "Enforced" {
		t.Fatalf("the probe says %q", verdict)
	}
	space := harness.Namespace(t, spread)
	harness.Create(t, spread, space, pod("server", "server")+pod("friend", "friend")+pod("stranger", "stranger")+pod("mute", "mute"))
	harness.AwaitPods(t, spread, space)
	url := "http://" + harness.Kube(t, spread, "-n", space, "get", "pod", "server", "--output", "jsonpath={.status.podIP}") + ":8080/"
	for _, client := range []string{"friend", "stranger", "mute"} {
		if answer := harness.Fetch(t, spread, space, client, url); answer != "server" {
			t.Fatalf("%s without a policy: %q", client, answer)
		}
	}
	harness.Create(t, spread, space, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: friends-only }
spec:
  podSelector: { matchLabels: { role: server } }
  policyTypes: [Ingress]
  ingress: [{ from: [{ podSelector: { matchExpressions: [{ key: role, operator: In, values: [friend, mute] }] } }], ports: [{ port: 8080 }] }]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: mute }
spec:
  podSelector: { matchLabels: { role: mute } }
  policyTypes: [Egress]
`)
	// Ingress stops one, egress the other; whoever is named by no policy goes on.
	for client, want := range map[string]string{"stranger": unreachable, "mute": unreachable, "friend": "server"} {
		harness.Eventually(t, func() error {
			if answer := harness.Fetch(t, spread, space, client, url); answer != want {
				return fmt.Errorf("%s under the policies: %q, not %q", client, answer, want)
			}
			return nil
		})
	}
	// The kubelet's probes come from the node, which no policy shuts out.
	if ready := harness.Kube(t, spread, "-n", space, "get", "pod", "server", "--output", "jsonpath={.status.containerStatuses[0].ready}"); ready != "true" {
		t.Fatalf("the server is ready: %s", ready)
	}
}

func TestWithoutFelixTheProbeSaysNotEnforced(t *testing.T) {
	if verdict := harness.Run(t, "enforcement", plain); verdict != "NotEnforced" {
		t.Fatalf("the probe says %q", verdict)
	}
}

func TestTwoClustersSeeEachOtherOnlyWhileConnected(t *testing.T) {
	here, there := harness.Namespace(t, plain), harness.Namespace(t, spread)
	harness.Create(t, plain, here, pod("client", ""))
	harness.Create(t, spread, there, pod("server", ""))
	harness.AwaitPods(t, plain, here)
	harness.AwaitPods(t, spread, there)
	url := "http://" + harness.Kube(t, spread, "-n", there, "get", "pod", "server", "--output", "jsonpath={.status.podIP}") + ":8080/"
	for _, step := range []struct{ verb, want string }{{"", unreachable}, {"connect", "server"}, {"disconnect", unreachable}} {
		if step.verb != "" {
			harness.Run(t, step.verb, plain, spread)
		}
		if answer := harness.Fetch(t, plain, here, "client", url); answer != step.want {
			t.Fatalf("after %q: %q, not %q", step.verb, answer, step.want)
		}
	}
}

func TestAHarnessKilledHalfwayLeavesNothingBehind(t *testing.T) {
	const name = "t-killed"
	before := machine(t)
	cluster, err := harness.Start(name)
	if err != nil {
		t.Fatal(err)
	}
	// By now the interfaces are there, containerd runs, and the API server starts.
	harness.Eventually(t, func() error {
		_, err := os.Stat(filepath.Join(root(), name, "logs", "kube-apiserver"))
		return err
	})
	if len(traces(t, name)) == 0 {
		t.Fatal("a cluster without a trace: this test would see nothing left either")
	}
	if err := cluster.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cluster.Wait()
	// Nobody is asked to clean up.
	harness.Eventually(t, func() error { return same(before, machine(t), traces(t, name)) })
}

func TestAClusterWhoseFirstProcessIsKilledIsSweptUp(t *testing.T) {
	const name = "t-orphan"
	before := machine(t)
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := harness.Start("--gateway", fmt.Sprintf("--publish=%d", port), name)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.End()
	if _, err := cluster.Ready(); err != nil {
		t.Fatal(err)
	}
	first, err := (&Cluster{Name: name}).init().processID()
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	harness.Run(t, "down", name)
	harness.Eventually(t, func() error { return same(before, machine(t), traces(t, name)) })
	if answer, err := ask(loopback(port), "any.example"); err == nil {
		t.Errorf("the port of a cluster that is gone answers %q", answer)
	}
}

func TestAGivenClusterIsUsedAndLeftAlone(t *testing.T) {
	config := harness.Run(t, "kubeconfig", plain)
	t.Setenv("KUBECONFIG", config)
	if said := harness.Run(t, "up"); !strings.Contains(said, "export KUBECONFIG="+config) {
		t.Fatal(said)
	}
	harness.Run(t, "down")
	if answer := harness.Run(t, "kubectl", "any", "get", "--raw", "/readyz"); answer != "ok" {
		t.Fatal(answer)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, mistake := range []struct {
		arguments []string
		says      string
	}{
		{[]string{"up", plain}, "is up already"},
		{[]string{"up", "../escape"}, "a cluster's name is"},
		{[]string{"up", "--nodes=10", "t-none"}, "0 to 9 nodes"},
		{[]string{"up", "--publish=8080", "t-none"}, "--publish needs --gateway"},
		{[]string{"down", "../escape"}, "no cluster's name"},
		{[]string{"gateway", plain}, "has no gateway"},
		{[]string{"kubeconfig", "t-none"}, "no cluster"},
		{[]string{"ascend"}, "--help"},
	} {
		output, err := harness.Command(mistake.arguments...).CombinedOutput()
		if err == nil || !strings.Contains(string(output), mistake.says) {
			t.Errorf("%v: %v, %s", mistake.arguments, err, output)
		}
	}
}

// nodesOf lists the nodes of the pods that are there to stay.
func nodesOf(t *testing.T, cluster, space string) []string {
	t.Helper()
	listed := harness.Kube(t, cluster, "-n", space, "get", "pods", "--output",
		`jsonpath={range .items[*]}{.spec.nodeName}={.metadata.deletionTimestamp}{" "}{end}`)
	var nodes []string
	for _, entry := range strings.Fields(listed) {
		if node, deleted, _ := strings.Cut(entry, "="); deleted == "" {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

func container(name string) string {
	return fmt.Sprintf("{ name: %s, image: %q, imagePullPolicy: IfNotPresent, args: [serve],"+
		" readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 } }", name, podImage)
}

func pod(name, role string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Pod
metadata: { name: %s, labels: { role: "%s" } }
spec: { terminationGracePeriodSeconds: 0, containers: [%s] }
`, name, role, container("pod"))
}

func deployment(name string, replicas int) string {
	return fmt.Sprintf(`---
apiVersion: apps/v1
kind: Deployment
metadata: { name: %[1]s }
spec:
  replicas: %[2]d
  selector: { matchLabels: { app: %[1]s } }
  template:
    metadata: { labels: { app: %[1]s } }
    spec:
      terminationGracePeriodSeconds: 0
      topologySpreadConstraints:
        - { maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: { matchLabels: { app: %[1]s } } }
      containers: [%[3]s]
`, name, replicas, container(name))
}

func service(name string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata: { name: %[1]s }
spec: { selector: { app: %[1]s }, ports: [{ port: 80, targetPort: 8080 }] }
`, name)
}
