package charts

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"windlass/tests/cluster/harness"
)

// Values with everything on.
const allOn = "golden/values.yaml"

func TestTheChartIsWithoutFault(t *testing.T) {
	for _, arguments := range [][]string{{"lint", "--strict", platform}, {"lint", "--strict", "--values", allOn, platform}} {
		if output, err := tool("helm", arguments...); err != nil {
			t.Errorf("helm %v: %s", arguments, output)
		}
	}
	if output, err := tool("helm-unittest", "--strict", platform); err != nil {
		t.Errorf("helm-unittest: %s", output)
	}
}

func TestTheChartRendersWhatItDid(t *testing.T) {
	output, err := tool("helm", "template", "golden", platform, "--namespace", "there", "--values", allOn,
		"--show-only", "templates/platform.yaml", "--show-only", "templates/tests/upload.yaml")
	if err != nil {
		t.Fatal(output)
	}
	compare(t, "golden/platform.yaml", output)
}

func TestWrongValuesAreRefusedByName(t *testing.T) {
	for _, wrong := range []struct{ set, names string }{
		{"alerts.as=Secret", "alerts/as"},
		{"alerts.runbooks=https://example.org/windlass", "alerts/runbooks"},
		{"dashbord.as=none", "dashbord"},
		{"test.url=http://upload", "test/image"},
		{"platform.name=Up", "platform/name"},
		{"platform.spec.storage.volume.claimName=uploads", "images"},
		{"platform.spec.imgaes.upload=a", "imgaes"},
	} {
		output, err := tool("helm", "template", "wrong", platform, "--set", wrong.set)
		if err == nil || !strings.Contains(output, wrong.names) {
			// A chart that renders after all is long.
			t.Errorf("%s: %v: %.400s", wrong.set, err, output)
		}
	}
}

func TestEveryValueHasAComment(t *testing.T) {
	lines := strings.Split(read(t, platform+"/values.yaml"), "\n")
	for number, line := range lines {
		key := strings.TrimSpace(line)
		// Groups of values are told by their names.
		if key == "" || strings.HasPrefix(key, "#") || strings.HasSuffix(key, ":") {
			continue
		}
		if !strings.HasPrefix(strings.TrimSpace(lines[number-1]), "#") {
			t.Errorf("values.yaml:%d: no comment above %q", number+1, key)
		}
	}
}

func TestTheServerKnowsEveryFieldThatIsRendered(t *testing.T) {
	folder := t.TempDir()
	writeSchemas(t, folder, "/openapi/v3/api/v1", "/openapi/v3/apis/windlass.dev/v1alpha1")
	rendered, err := tool("helm", "template", "strict", platform, "--values", allOn)
	if err != nil {
		t.Fatal(rendered)
	}
	// An unknown field shows that strictness is not only asked for.
	for _, check := range []struct {
		documents string
		valid     bool
	}{{rendered, true}, {strings.Replace(rendered, "restartPolicy:", "restartPolitics:", 1), false}} {
		checking := exec.Command(filepath.Join(os.Getenv("WINDLASS_CHART_TOOLS"), "kubeconform"), "-strict", "-summary",
			"-schema-location", folder+"/{{.ResourceKind}}{{.KindSuffix}}.json", "-")
		checking.Stdin = strings.NewReader(check.documents)
		output, err := checking.CombinedOutput()
		if (err == nil) != check.valid {
			t.Errorf("kubeconform: valid: %v: %s", err == nil, output)
		}
	}
}

func TestTheChartIsInstalledTriedUpgradedAndRemoved(t *testing.T) {
	t.Parallel()
	space := harness.Namespace(t, cluster)
	harness.Kube(t, cluster, "label", "namespace", space, "pod-security.kubernetes.io/enforce=restricted")
	harness.Create(t, cluster, space, strings.ReplaceAll(imagePods, "$SECRET", secret))
	harness.Kube(t, cluster, "-n", space, "create", "secret", "generic", "login", "--from-literal=token="+token())
	install(t, space, "install", "here", platform, "--values", allOn, "--wait")
	if url := harness.Kube(t, cluster, "-n", space, "get", "platform", "up", "--output", "jsonpath={.spec.redis.external.url}"); url != "redis://redis:6379" {
		t.Errorf("the Platform's Redis: %q", url)
	}
	rules := harness.Kube(t, cluster, "-n", space, "get", "configmap", "here-alerts", "--output", `jsonpath={.data.windlass\.yaml}`)
	file := filepath.Join(t.TempDir(), "alerts.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("promtool", "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("the alerts as they were installed: %v: %s", err, output)
	}
	if !strings.Contains(rules, "runbook_url: https://git.example.org/windlass/docs/alerts.md#") {
		t.Error("the alerts do not lead to their documents")
	}
	dashboard := harness.Kube(t, cluster, "-n", space, "get", "configmap", "--selector=grafana_dashboard=1", "--output", `jsonpath={.items[0].data.windlass\.json}`)
	if !json.Valid([]byte(dashboard)) {
		t.Error("the dashboard as it was installed is no JSON")
	}
	harness.AwaitPods(t, cluster, space)
	install(t, space, "test", "here", "--timeout=90s")
	install(t, space, "upgrade", "here", platform, "--values", allOn, "--set", "dashboard.as=none", "--set", "platform.spec.upload.replicas=2")
	if replicas := harness.Kube(t, cluster, "-n", space, "get", "platform", "up", "--output", "jsonpath={.spec.upload.replicas}"); replicas != "2" {
		t.Errorf("upgraded to %s replicas", replicas)
	}
	install(t, space, "uninstall", "here", "--wait")
	if left := harness.Kube(t, cluster, "-n", space, "get", "platform,configmap", "--selector=app.kubernetes.io/instance=here", "--output", "name"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

// install runs helm on the cluster.
func install(t *testing.T, space string, arguments ...string) {
	t.Helper()
	config := harness.Run(t, "kubeconfig", cluster)
	if output, err := tool("helm", append(arguments, "--kubeconfig", config, "--namespace", space)...); err != nil {
		t.Fatalf("helm %v: %s", arguments, output)
	}
}

// tool runs one of the programs that tests/charts/tools pins; helm reads nothing of the user's.
func tool(name string, arguments ...string) (string, error) {
	running := exec.Command(filepath.Join(os.Getenv("WINDLASS_CHART_TOOLS"), name), arguments...)
	folder := os.TempDir()
	running.Env = append(os.Environ(), "HELM_CONFIG_HOME="+folder+"/none", "HELM_DATA_HOME="+folder+"/none", "HELM_CACHE_HOME="+folder+"/none")
	output, err := running.CombinedOutput()
	return string(output), err
}
