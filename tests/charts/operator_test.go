package charts

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"windlass/tests/cluster/harness"
)

const (
	// The operator's release, and the namespace that it has to itself.
	operator      = "windlass-operator"
	operatorSpace = "windlass-system"
	// What a Platform owns, and how it is told.
	owned  = "deployments,services,configmaps,serviceaccounts,poddisruptionbudgets,networkpolicies,ingresses"
	ofMain = "--selector=windlass.dev/platform=main"
)

// installOperator does what a user does first. The namespace takes only pods without rights.
func installOperator() error {
	namespace := `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "` + operatorSpace + `",
		"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}`
	if output, err := harness.Apply(cluster, "default", namespace); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	config, err := harness.Command("kubeconfig", cluster).Output()
	if err != nil {
		return err
	}
	output, err := tool("helm", "install", operator, operatorChart, "--values", "golden/operator-values.yaml", "--wait", "--timeout=2m",
		"--kubeconfig", strings.TrimSpace(string(config)), "--namespace", operatorSpace)
	if err != nil {
		pods, _ := harness.Command("kubectl", cluster, "-n", operatorSpace, "describe", "pods").CombinedOutput()
		return fmt.Errorf("helm install: %s: %s", output, pods)
	}
	return nil
}

func TestTheOperatorHasTheRightsThatAPlatformTakesAndNoOthers(t *testing.T) {
	space := harness.Namespace(t, cluster)
	harness.Kube(t, cluster, "-n", space, "create", "secret", "generic", "tokens", "--from-literal=secret="+secret)
	harness.Create(t, cluster, space, platformWithoutPods)
	harness.Eventually(t, func() error {
		ready := harness.Kube(t, cluster, "-n", space, "get", "platform", "main", "--output", "jsonpath={.status.conditions}")
		if !strings.Contains(ready, `"reason":"Converged"`) {
			return fmt.Errorf("%s: %s", ready, operatorLogs(t))
		}
		return nil
	})
	if events := harness.Kube(t, cluster, "-n", space, "get", "events", "--field-selector=involvedObject.kind=Platform", "--output", "name"); events == "" {
		t.Error("no event tells of it")
	}
	// What is not wanted any more is deleted, and by whom it may be.
	harness.Kube(t, cluster, "-n", space, "patch", "platform", "main", "--type=merge", `--patch={"spec": {"routes": null, "networkPolicy": {"enabled": false}}}`)
	harness.Eventually(t, func() error {
		if left := harness.Kube(t, cluster, "-n", space, "get", "networkpolicies,ingresses", ofMain, "--output", "name"); left != "" {
			return fmt.Errorf("still there: %s: %s", left, operatorLogs(t))
		}
		return nil
	})
	for _, refused := range []string{"delete deployments", "delete services", "list secrets", "update platforms", "create pods", "create clusterroles"} {
		if may := mayOperator(space, refused); may != "no" {
			t.Errorf("%s: %s", refused, may)
		}
	}
	if may := mayOperator(space, "delete ingresses"); may != "yes" {
		t.Errorf("the question is wrong: may it delete Ingresses: %s", may)
	}
	harness.Kube(t, cluster, "-n", space, "delete", "platform", "main", "--wait=false")
	harness.Eventually(t, func() error {
		if left := harness.Kube(t, cluster, "-n", space, "get", owned, ofMain, "--output", "name"); left != "" {
			return fmt.Errorf("left behind: %s", left)
		}
		return nil
	})
}

func TestTheOperatorsPolicyStopsAllButWhatItNeeds(t *testing.T) {
	t.Cleanup(func() {
		harness.Kube(t, cluster, "-n", operatorSpace, "delete", "pod", "--wait=false", "monitoring", "stranger", "posing")
	})
	// The third is to the policy what an operator is, but it is no operator.
	posing := fmt.Sprintf("{ app.kubernetes.io/name: %s, app.kubernetes.io/instance: %s }", operator, operator)
	harness.Create(t, cluster, operatorSpace, clientPod("monitoring", "{ role: monitoring }")+clientPod("stranger", "{ role: stranger }")+clientPod("posing", posing))
	harness.Eventually(t, func() error {
		if ready := harness.Kube(t, cluster, "-n", operatorSpace, "get", "pods", "--output", "jsonpath={.items[*].status.containerStatuses[*].ready}"); ready != "true true true true true" {
			return fmt.Errorf("pods ready: %s", ready)
		}
		return nil
	})
	address := func(selector string) string {
		return strings.Fields(harness.Kube(t, cluster, "-n", operatorSpace, "get", "pods", selector, "--output", "jsonpath={.items[*].status.podIP}"))[0]
	}
	metrics := "http://" + address("--selector=pod-template-hash,app.kubernetes.io/name="+operator) + ":9090/metrics"
	stranger := "http://" + address("--selector=role=stranger") + ":8080/"
	for _, way := range []struct{ from, to, want string }{
		{"monitoring", metrics, "windlass_operator_leading"},
		{"stranger", metrics, "unreachable"},
		{"monitoring", stranger, "stranger"},
		{"posing", stranger, "unreachable"},
	} {
		harness.Eventually(t, func() error {
			if answer := harness.Fetch(t, cluster, operatorSpace, way.from, way.to); !strings.Contains(answer, way.want) {
				return fmt.Errorf("%s to %s: %.100q, not %s", way.from, way.to, answer, way.want)
			}
			return nil
		})
	}
	// A metric that is not there never fires. What is counted shows with the first pass, at whoever leads.
	harness.Create(t, cluster, harness.Namespace(t, cluster), platformWithoutPods)
	harness.Eventually(t, func() error {
		var shown string
		for _, address := range strings.Fields(harness.Kube(t, cluster, "-n", operatorSpace, "get", "pods",
			"--selector=pod-template-hash", "--output", "jsonpath={.items[*].status.podIP}")) {
			shown += harness.Fetch(t, cluster, operatorSpace, "monitoring", "http://"+address+":9090/metrics")
		}
		for _, match := range selector.FindAllStringSubmatch(read(t, operatorChart+alerts), -1) {
			for _, label := range append(labelName.FindAllStringSubmatch(match[2], -1), []string{"", ""}) {
				if !regexp.MustCompile(`(?m)^` + match[1] + `[ {].*` + label[1]).MatchString(shown) {
					return fmt.Errorf("no operator has %s with %q", match[1], label[1])
				}
			}
		}
		return nil
	})
	// Whom the API server lets in says that the way there is open: the operators are ready, and one of them leads.
	if leader := harness.Kube(t, cluster, "-n", operatorSpace, "get", "lease", operator, "--output", "jsonpath={.spec.holderIdentity}"); leader == "" {
		t.Error("nobody leads")
	}
	nodes := strings.Fields(harness.Kube(t, cluster, "-n", operatorSpace, "get", "pods", "--selector=pod-template-hash", "--output", "jsonpath={.items[*].spec.nodeName}"))
	slices.Sort(nodes)
	if !slices.Equal(nodes, []string{"node-1", "node-2"}) {
		t.Errorf("the operators are on %v", nodes)
	}
}

func TestTheDefinitionsAndAllResourcesOutliveTheOperator(t *testing.T) {
	space := harness.Namespace(t, cluster)
	harness.Create(t, cluster, space, platformWithoutPods)
	install(t, operatorSpace, "uninstall", operator, "--wait")
	if left := harness.Kube(t, cluster, "-n", operatorSpace, "get", "deployments,networkpolicies,poddisruptionbudgets,roles", "--output", "name"); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if name := harness.Kube(t, cluster, "-n", space, "get", "platform", "main", "--output", "jsonpath={.metadata.name}"); name != "main" {
		t.Errorf("the Platform: %q", name)
	}
	if err := installOperator(); err != nil {
		t.Fatal(err)
	}
}

// What has no pods needs no images; a bucket needs no volume.
const platformWithoutPods = `
apiVersion: windlass.dev/v1alpha1
kind: Platform
metadata: { name: main }
spec:
  images: { upload: "windlass.test/windlass-upload:local", push: "windlass.test/windlass-push:local" }
  auth: { hmacSecret: { name: tokens, key: secret } }
  redis: { external: { url: "redis://redis:6379" } }
  storage: { s3: { bucket: uploads } }
  upload: { replicas: 0 }
  push: { replicas: 0 }
  routes: { host: up.example.org, ingress: {} }
`

// clientPod is of the cluster's own image, with what the namespace asks for.
func clientPod(name, labels string) string {
	return fmt.Sprintf(`---
apiVersion: v1
kind: Pod
metadata: { name: %s, labels: %s }
spec:
  terminationGracePeriodSeconds: 0
  automountServiceAccountToken: false
  securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: RuntimeDefault } }
  containers:
    - name: client
      image: windlass.test/pod:local
      imagePullPolicy: Never
      args: [serve]
      securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } }
`, name, labels)
}

// mayOperator asks the API server whether the operator may do this: `yes` or `no`, which kubectl also says by its exit code.
func mayOperator(space, what string) string {
	account := "system:serviceaccount:" + operatorSpace + ":" + operator
	arguments := append([]string{"kubectl", cluster, "-n", space, "auth", "can-i"}, strings.Fields(what)...)
	output, _ := harness.Command(append(arguments, "--as="+account)...).Output()
	return strings.TrimSpace(string(output))
}

func operatorLogs(t *testing.T) string {
	t.Helper()
	return harness.Kube(t, cluster, "-n", operatorSpace, "logs", "--selector=pod-template-hash", "--tail=5")
}
