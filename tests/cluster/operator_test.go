package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"windlass/tests/cluster/harness"
)

// No pods: what an image does is not what is tried here. Its bucket needs no claim.
const platformSample = `
apiVersion: windlass.dev/v1alpha1
kind: Platform
metadata: { name: main }
spec:
  images: { upload: "registry.example/windlass-upload:0.1.0", push: "registry.example/windlass-push:0.1.0" }
  auth: { hmacSecret: { name: tokens, key: secret } }
  redis: { external: { url: "redis://redis.example:6379/0" } }
  storage: { s3: { bucket: uploads } }
  upload: { replicas: 0 }
  push: { replicas: 0 }
  routes: { host: up.example.org, ingress: {} }
`

// Seconds. The shipped one, and one whose end a test can wait for; its leader may still be starved for six seconds.
const (
	usualLease = 15
	shortLease = 9
)

const (
	made    = "deployments,services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,ingresses"
	ofMain  = "--selector=windlass.dev/platform=main"
	reasons = `jsonpath={range .status.conditions[*]}{.type}={.status}/{.reason} {end}`
	grace   = "jsonpath={.spec.template.spec.terminationGracePeriodSeconds}"
)

func TestAPlatformIsMadeChangedRepairedAndRemoved(t *testing.T) {
	space := platformSpace(t)
	if plan := plugin(t, space, "plan"); strings.Count(plan, "+ ") != 13 || !strings.Contains(plan, "+ Deployment main-push\n") {
		t.Fatalf("the plan before anything is there: %s", plan)
	}
	operator := startOperator(t, space, usualLease)
	settles(t, space, "Ready=True/Serving", "Progressing=False/Converged", "Degraded=False/AsExpected", "Paused=False/Running")
	if found := strings.Fields(owned(t, space, made, "{.kind}/{.metadata.name} ")); len(found) != 13 {
		t.Fatalf("two of each and an Ingress were wanted: %v", found)
	}

	if plan := plugin(t, space, "plan"); plan != "nothing to do\n" {
		t.Fatalf("the plan after all is there: %s", plan)
	}
	if status := plugin(t, space, "status"); !strings.Contains(status, "Ready        True     Serving: all pods serve\n") {
		t.Fatal(status)
	}

	// A pass over a world that is as it should be writes nothing.
	before, writes, passes := owned(t, space, made, "{.metadata.resourceVersion} "), operator.count(t, "writes"), operator.count(t, "passes")
	harness.Kube(t, plain, "-n", space, "annotate", "platform", "main", "looked=at")
	harness.Eventually(t, func() error {
		if operator.count(t, "passes") == passes {
			return fmt.Errorf("no pass since %d", passes)
		}
		return nil
	})
	if after := owned(t, space, made, "{.metadata.resourceVersion} "); after != before || operator.count(t, "writes") != writes {
		t.Fatalf("something was written: %s, %s", before, after)
	}

	// What the spec says anew, and what somebody else did, comes to be as the spec says.
	patch(t, space, `{"drain": {"deadlineSeconds": 40}}`)
	becomes(t, "50", "-n", space, "get", "deployment", "main-push", "--output", grace)
	harness.Kube(t, plain, "-n", space, "patch", "service", "main-upload", "--type=merge", `--patch={"spec": {"selector": {"app.kubernetes.io/name": "other"}}}`)
	becomes(t, "windlass-upload", "-n", space, "get", "service", "main-upload", "--output", `jsonpath={.spec.selector.app\.kubernetes\.io/name}`)
	harness.Kube(t, plain, "-n", space, "delete", "configmap", "main-push")
	becomes(t, "main-push", "-n", space, "get", "configmap", "main-push", "--ignore-not-found", "--output", "jsonpath={.metadata.name}")
	patch(t, space, `{"routes": null, "networkPolicy": {"enabled": false}}`)
	becomes(t, "", "-n", space, "get", "networkpolicies,ingresses", ofMain, "--output", "name")

	// A reference that leads nowhere is said, and nothing is changed by halves.
	patch(t, space, `{"auth": {"hmacSecret": {"name": "nowhere"}}, "drain": {"deadlineSeconds": 60}}`)
	settles(t, space, "Ready=False/SecretMissing", "Degraded=True/SecretMissing")
	becomes(t, "50", "-n", space, "get", "deployment", "main-push", "--output", grace)
	patch(t, space, `{"auth": {"hmacSecret": {"name": "tokens"}}}`)
	becomes(t, "70", "-n", space, "get", "deployment", "main-push", "--output", grace)

	// Suspended, it is reported on and not written.
	plugin(t, space, "suspend")
	patch(t, space, `{"drain": {"deadlineSeconds": 80}}`)
	settles(t, space, "Ready=True/Serving", "Progressing=False/Suspended", "Paused=True/Suspended")
	becomes(t, "70", "-n", space, "get", "deployment", "main-push", "--output", grace)
	if plan := plugin(t, space, "plan"); plan != "nothing: spec.suspend is true\n" {
		t.Fatal(plan)
	}
	plugin(t, space, "resume")
	becomes(t, "90", "-n", space, "get", "deployment", "main-push", "--output", grace)

	harness.Kube(t, plain, "-n", space, "delete", "platform", "main", "--wait=false")
	becomes(t, "", "-n", space, "get", made, ofMain, "--output", "name")
}

func TestAnotherOperatorTakesOverFromOneThatWasKilled(t *testing.T) {
	space := platformSpace(t)
	first := startOperator(t, space, shortLease)
	settles(t, space, "Ready=True/Serving")
	second := startOperator(t, space, shortLease)
	if first.count(t, "leading") != 1 || second.count(t, "leading") != 0 {
		t.Fatal("one of two leads")
	}
	if err := first.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	patch(t, space, `{"drain": {"deadlineSeconds": 40}}`)
	becomes(t, "50", "-n", space, "get", "deployment", "main-push", "--output", grace)
	becomes(t, "2", "-n", space, "get", "deployment", "main-push", "--output", `jsonpath={.metadata.annotations.windlass\.dev/term}`)

	// One that is asked to go gives the lease back.
	if err := second.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := second.command.Wait(); err != nil {
		t.Fatalf("%v: %s", err, second.said)
	}
	becomes(t, "", "-n", space, "get", "lease", "windlass-operator", "--output", "jsonpath={.spec.holderIdentity}")
}

// platformSpace is a namespace with a Platform that nobody looks after yet.
func platformSpace(t *testing.T) string {
	t.Helper()
	harness.Define(t, plain, definitions)
	space := harness.Namespace(t, plain)
	harness.Kube(t, plain, "-n", space, "create", "secret", "generic", "tokens", "--from-literal=secret="+strings.Repeat("s", 32))
	harness.Create(t, plain, space, platformSample)
	return space
}

// program is one that the stage built.
func program(name string) string { return filepath.Join(os.Getenv("WINDLASS_OPERATOR"), name) }

// plugin carries out a verb of kubectl-windlass for the Platform, and returns what it says.
func plugin(t *testing.T, space, verb string) string {
	t.Helper()
	command := exec.Command(program("kubectl-windlass"), verb, "main", "--namespace="+space)
	command.Env = append(os.Environ(), "KUBECONFIG="+harness.Run(t, "kubeconfig", plain))
	said, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", verb, err, said)
	}
	return string(said)
}

// operator is a process that looks after one namespace.
type operator struct {
	command *exec.Cmd
	admin   string
	said    *strings.Builder
}

func startOperator(t *testing.T, space string, leaseSeconds int) *operator {
	t.Helper()
	started := &operator{admin: freeAddress(t), said: new(strings.Builder)}
	started.command = exec.Command(program("windlass-operator"), "--namespace="+space, "--lease-namespace="+space,
		fmt.Sprintf("--lease-seconds=%d", leaseSeconds), "--admin-listen="+started.admin)
	started.command.Env = append(os.Environ(), "KUBECONFIG="+harness.Run(t, "kubeconfig", plain))
	started.command.Stderr = started.said
	if err := started.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = started.command.Process.Kill()
		_ = started.command.Wait()
		if t.Failed() {
			t.Log(started.said)
		}
	})
	harness.Eventually(t, func() error { _, err := started.metrics(); return err })
	return started
}

func (o *operator) metrics() (string, error) {
	response, err := http.Get("http://" + o.admin + "/metrics")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

// count sums a metric over its labels.
func (o *operator) count(t *testing.T, metric string) int {
	t.Helper()
	text, err := o.metrics()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	for _, sample := range regexp.MustCompile(`(?m)^windlass_operator_`+metric+`(?:_total)?(?:\{.*\})? (\d+)$`).FindAllStringSubmatch(text, -1) {
		value, err := strconv.Atoi(sample[1])
		if err != nil {
			t.Fatal(err)
		}
		sum += value
	}
	return sum
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func patch(t *testing.T, space, spec string) {
	t.Helper()
	harness.Kube(t, plain, "-n", space, "patch", "platform", "main", "--type=merge", `--patch={"spec": `+spec+`}`)
}

func owned(t *testing.T, space, kinds, each string) string {
	t.Helper()
	return harness.Kube(t, plain, "-n", space, "get", kinds, ofMain, "--output", "jsonpath={range .items[*]}"+each+"{end}")
}

// settles waits until the conditions of the newest version of the Platform are as given.
func settles(t *testing.T, space string, conditions ...string) {
	t.Helper()
	harness.Eventually(t, func() error {
		versions := harness.Kube(t, plain, "-n", space, "get", "platform", "main", "--output", "jsonpath={.metadata.generation} {.status.observedGeneration}")
		if newest, observed, _ := strings.Cut(versions, " "); newest != observed {
			return fmt.Errorf("versions: %s", versions)
		}
		found := harness.Kube(t, plain, "-n", space, "get", "platform", "main", "--output", reasons)
		for _, condition := range conditions {
			if !strings.Contains(found+" ", condition+" ") {
				return fmt.Errorf("%s is not among %s", condition, found)
			}
		}
		return nil
	})
}

// becomes waits until kubectl prints this.
func becomes(t *testing.T, want string, arguments ...string) {
	t.Helper()
	harness.Eventually(t, func() error {
		if got := harness.Kube(t, plain, arguments...); got != want {
			return fmt.Errorf("%v: %q, not %q", arguments, got, want)
		}
		return nil
	})
}
