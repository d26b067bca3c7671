package charts

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"windlass/tests/cluster/harness"
)

const (
	platform = "../../charts/windlass-platform"
	// In both charts.
	alerts = "/files/alerts.yaml"
)

func TestTheRulesAreRulesAndFireWhenTheyShould(t *testing.T) {
	for _, arguments := range [][]string{
		{"check", "rules", "--lint-fatal", platform + alerts, operatorChart + alerts}, {"test", "rules", "alerts.yaml", "operator-alerts.yaml"},
	} {
		if output, err := exec.Command("promtool", arguments...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v: %s", arguments, err, output)
		}
	}
}

func TestTheDashboardsExpressionsCanBeEvaluated(t *testing.T) {
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for _, expression := range panels(t) {
		rules = append(rules, rule{fmt.Sprintf("panel_%d", len(rules)), expandable.Replace(expression)})
	}
	// JSON is YAML.
	content, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command("promtool", "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, output)
	}
}

func TestEveryAlertSaysWhatToDoInTheDocuments(t *testing.T) {
	rules := read(t, platform+alerts) + read(t, operatorChart+alerts)
	names := matches(rules, `(?m)^ +- alert: (\w+)$`)
	sections := matches(read(t, "../../docs/alerts.md"), `(?m)^## (\w+)$`)
	slices.Sort(names)
	slices.Sort(sections)
	if !slices.Equal(names, sections) {
		t.Errorf("alerts: %v\nsections of docs/alerts.md: %v", names, sections)
	}
	for _, alert := range names {
		if !strings.Contains(rules, "runbook_url: docs/alerts.md#"+strings.ToLower(alert)+"\n") {
			t.Errorf("%s does not name its section", alert)
		}
	}
}

// What is not there never fires, and draws no line: a wrong name is seen by nobody.
func TestEveryMetricOfRulesAndDashboardIsOneThatTheServicesHave(t *testing.T) {
	running, err := startServices(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.end)
	used := map[string]map[string]bool{}
	for _, expression := range expressions(t) {
		for _, match := range selector.FindAllStringSubmatch(expression, -1) {
			if used[match[1]] == nil {
				used[match[1]] = map[string]bool{}
			}
			for _, label := range labelName.FindAllStringSubmatch(match[2], -1) {
				used[match[1]][label[1]] = true
			}
		}
	}
	if len(used) < 20 {
		t.Fatalf("only %d metrics were found in rules and dashboard", len(used))
	}
	harness.Eventually(t, func() error {
		// A service shows some series only once there is something to count, and others a moment after its start.
		if err := running.connect(); err != nil {
			return err
		}
		had := map[string]map[string]bool{}
		for service := range running.admin {
			shown, err := running.labels(service)
			if err != nil {
				return err
			}
			for name, labels := range shown {
				if had[name] == nil {
					had[name] = map[string]bool{}
				}
				maps.Copy(had[name], labels)
			}
		}
		for name, labels := range used {
			if had[name] == nil {
				return fmt.Errorf("no service has %s", name)
			}
			for label := range labels {
				if label != "namespace" && !had[name][label] {
					return fmt.Errorf("%s has no label %q", name, label)
				}
			}
		}
		return nil
	})
}

var selector = regexp.MustCompile(`\b(windlass_[a-z0-9_]+)(?:\{([^}]*)\})?`)

// expressions are those of all rules and of all panels of the dashboard.
func expressions(t *testing.T) []string {
	t.Helper()
	var rules []string
	for _, line := range strings.Split(read(t, platform+alerts), "\n") {
		// Summaries name labels only, and comments nothing.
		if !strings.Contains(line, "summary:") && !strings.Contains(line, "#") {
			rules = append(rules, line)
		}
	}
	return append(rules, panels(t)...)
}

// panels are the expressions of the dashboard.
func panels(t *testing.T) []string {
	t.Helper()
	var found []string
	var dashboard struct {
		Panels []struct {
			Title, Description, Type string
			Targets                  []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, platform+"/files/dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		if panel.Type != "row" && (len(panel.Targets) == 0 || panel.Description == "") {
			t.Errorf("the panel %q shows nothing, or does not say what", panel.Title)
		}
		for _, target := range panel.Targets {
			found = append(found, target.Expr)
		}
	}
	return found
}

// Grafana's variables, as it would write them.
var expandable = strings.NewReplacer("$namespace", ".*", "$__rate_interval", "5m")

func matches(text, pattern string) []string {
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
