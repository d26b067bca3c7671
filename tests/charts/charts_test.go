package charts

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"windlass/tests/cluster/harness"
)

//go:embed files/redis-and-volume.yaml
var redisAndVolume string

// The user and group of the images.
const nonroot = 65532

const operatorChart = "../../charts/windlass-operator"

// Values with which the charts are tried, and the templates whose text is compared.
var charts = []struct {
	chart, values, golden string
	templates             []string
}{
	{platform, "golden/values.yaml", "golden/platform.yaml", []string{"platform", "tests/upload"}},
	{operatorChart, "golden/operator-values.yaml", "golden/operator.yaml", []string{"deployment", "rights", "protection"}},
}

func TestTheChartsAreWithoutFault(t *testing.T) {
	for _, one := range charts {
		if output, err := tool("helm", "lint", "--strict", "--values", one.values, one.chart); err != nil {
			t.Errorf("helm lint: %s", output)
		}
		if output, err := tool("helm-unittest", "--strict", one.chart); err != nil {
			t.Errorf("helm-unittest: %s", output)
		}
	}
	// This one needs no values.
	if output, err := tool("helm", "lint", "--strict", platform); err != nil {
		t.Errorf("helm lint: %s", output)
	}
}

func TestTheChartsRenderWhatTheyDid(t *testing.T) {
	for _, one := range charts {
		arguments := []string{"template", "golden", one.chart, "--namespace", "there", "--values", one.values}
		for _, template := range one.templates {
			arguments = append(arguments, "--show-only", "templates/"+template+".yaml")
		}
		output, err := tool("helm", arguments...)
		if err != nil {
			t.Fatal(output)
		}
		compare(t, one.golden, output)
	}
}

func TestWrongValuesAreRefusedByName(t *testing.T) {
	for _, wrong := range []struct{ chart, set, names string }{
		{platform, "alerts.as=Secret", "alerts/as"},
		{platform, "alerts.runbooks=https://example.org/windlass", "alerts/runbooks"},
		{platform, "dashbord.as=none", "dashbord"},
		{platform, "test.url=http://upload", "test/image"},
		{platform, "platform.name=Up", "platform/name"},
		{platform, "platform.spec.storage.volume.claimName=uploads", "images"},
		{platform, "platform.spec.imgaes.upload=a", "imgaes"},
		{operatorChart, "replicas=2", "image/repository"},
		{operatorChart, "leaseSeconds=1", "leaseSeconds"},
		{operatorChart, "image.digest=e3b0c442", "image/digest"},
	} {
		output, err := tool("helm", "template", "wrong", wrong.chart, "--set", wrong.set)
		if err == nil || !strings.Contains(output, wrong.names) {
			// A chart that renders after all is long.
			t.Errorf("%s: %v: %.400s", wrong.set, err, output)
		}
	}
}

func TestEveryValueHasAComment(t *testing.T) {
	for _, one := range charts {
		lines := strings.Split(read(t, one.chart+"/values.yaml"), "\n")
		for number, line := range lines {
			key := strings.TrimSpace(line)
			// Groups of values are told by their names.
			if key == "" || strings.HasPrefix(key, "#") || strings.HasSuffix(key, ":") {
				continue
			}
			if !strings.HasPrefix(strings.TrimSpace(lines[number-1]), "#") {
				t.Errorf("%s/values.yaml:%d: no comment above %q", one.chart, number+1, key)
			}
		}
	}
}

func TestEveryRightSaysWhatItIsFor(t *testing.T) {
	lines := strings.Split(read(t, operatorChart+"/templates/rights.yaml"), "\n")
	rules := 0
	for number, line := range lines {
		if strings.HasPrefix(line, "  - apiGroups:") {
			rules++
			if !strings.HasPrefix(lines[number-1], "  #") {
				t.Errorf("rights.yaml:%d: no reason above the rule", number+1)
			}
		}
		if strings.Contains(line, "*]") || strings.Contains(line, "'*'") || strings.Contains(line, `"*"`) {
			t.Errorf("rights.yaml:%d: a right to everything", number+1)
		}
	}
	if rules < 10 {
		t.Errorf("only %d rules were found", rules)
	}
}

func TestTheServerKnowsEveryFieldThatIsRendered(t *testing.T) {
	folder := t.TempDir()
	writeSchemas(t, folder, "/openapi/v3/api/v1", "/openapi/v3/apis/windlass.dev/v1alpha1", "/openapi/v3/apis/apps/v1",
		"/openapi/v3/apis/policy/v1", "/openapi/v3/apis/networking.k8s.io/v1", "/openapi/v3/apis/rbac.authorization.k8s.io/v1")
	var rendered string
	for _, one := range charts {
		output, err := tool("helm", "template", "strict", one.chart, "--values", one.values)
		if err != nil {
			t.Fatal(output)
		}
		rendered += output
	}
	// An unknown field shows that strictness is not only asked for.
	for _, check := range []struct {
		documents string
		valid     bool
	}{{rendered, true}, {strings.Replace(rendered, "restartPolicy:", "restartPolitics:", 1), false}} {
		checking := exec.Command(filepath.Join(os.Getenv("WINDLASS_CHART_TOOLS"), "kubeconform"), "-strict", "-summary",
			// The same server takes it when the chart is installed.
			"-skip", "CustomResourceDefinition",
			"-schema-location", folder+"/{{.ResourceKind}}{{.KindSuffix}}.json", "-")
		checking.Stdin = strings.NewReader(check.documents)
		output, err := checking.CombinedOutput()
		if (err == nil) != check.valid {
			t.Errorf("kubeconform: valid: %v: %s", err == nil, output)
		}
	}
}

func TestAPlatformIsInstalledUploadedToUpgradedAndRemoved(t *testing.T) {
	t.Parallel()
	space := harness.Namespace(t, cluster)
	harness.Kube(t, cluster, "label", "namespace", space, "pod-security.kubernetes.io/enforce=restricted")
	createNeeds(t, space)
	install(t, space, "install", "here", platform, "--values", charts[0].values, "--wait")
	harness.Eventually(t, func() error {
		conditions := harness.Kube(t, cluster, "-n", space, "get", "platform", "up", "--output", "jsonpath={.status.conditions}")
		if !strings.Contains(conditions, `"reason":"Serving"`) {
			return fmt.Errorf("%s: %s: %s", conditions, harness.Kube(t, cluster, "-n", space, "get", "pods"), operatorLogs(t))
		}
		return nil
	})
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
	install(t, space, "test", "here", "--timeout=90s")
	install(t, space, "upgrade", "here", platform, "--values", charts[0].values, "--set", "dashboard.as=none", "--set", "platform.spec.upload.replicas=2")
	harness.Eventually(t, func() error {
		if ready := harness.Kube(t, cluster, "-n", space, "get", "deployment", "up-upload", "--output", "jsonpath={.status.readyReplicas}"); ready != "2" {
			return fmt.Errorf("%s pods take uploads", ready)
		}
		return nil
	})
	install(t, space, "uninstall", "here", "--wait")
	harness.Eventually(t, func() error {
		if left := harness.Kube(t, cluster, "-n", space, "get", owned, "--selector=windlass.dev/platform=up", "--output", "name"); left != "" {
			return fmt.Errorf("left behind: %s", left)
		}
		// Nor does any of its pods write to the volume, which goes next.
		if pods := harness.Kube(t, cluster, "-n", space, "get", "pods", "--output", "name"); pods != "pod/redis" {
			return fmt.Errorf("pods: %s", pods)
		}
		return nil
	})
}

// createNeeds makes what a Platform needs in a namespace. The volume is a folder of this machine, whose files its nodes have.
func createNeeds(t *testing.T, space string) {
	t.Helper()
	folder := t.TempDir()
	if err := errors.Join(os.Chown(folder, nonroot, nonroot), os.Chmod(filepath.Dir(folder), 0o755)); err != nil {
		t.Fatal(err)
	}
	needs := strings.NewReplacer("$SECRET", secret, "$TOKEN", token(), "$SPACE", space, "$FOLDER", folder).Replace(redisAndVolume)
	harness.Create(t, cluster, space, needs)
	t.Cleanup(func() { harness.Kube(t, cluster, "delete", "pv", space, "--wait=false") })
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
	running.Env = helmEnvironment()
	output, err := running.CombinedOutput()
	return string(output), err
}

func helmEnvironment() []string {
	folder := os.TempDir()
	return append(os.Environ(), "HELM_CONFIG_HOME="+folder+"/none", "HELM_DATA_HOME="+folder+"/none", "HELM_CACHE_HOME="+folder+"/none")
}
