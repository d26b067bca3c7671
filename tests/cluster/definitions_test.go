package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/tests/cluster/harness"
)

// The definitions that the operator's chart installs, and samples of what they let through and refuse.
const (
	definitions = "../../charts/windlass-operator/files/crds"
	samples     = "../../operator/windlass-api/samples"
)

func TestTheDefinitionsTakeWhatIsRightAndSayWhatToWriteInstead(t *testing.T) {
	harness.Define(t, plain, definitions)
	space := harness.Namespace(t, plain)
	harness.Kube(t, plain, "-n", space, "apply", "--server-side", "-f", filepath.Join(samples, "valid"))
	files, err := filepath.Glob(filepath.Join(samples, "invalid", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, documents, _ := strings.Cut(string(content), "\n")
		// Of several documents the last is refused: it changes what must stay.
		written := strings.Split(documents, "---\n")
		for _, before := range written[:len(written)-1] {
			if output, err := harness.Apply(plain, space, before); err != nil {
				t.Fatalf("%s: %v: %s", file, err, output)
			}
		}
		output, err := harness.Apply(plain, space, written[len(written)-1])
		if message := strings.TrimPrefix(first, "# refused: "); err == nil || !strings.Contains(output, message) {
			t.Errorf("%s: wanted %q, got %v, %s", filepath.Base(file), message, err, output)
		}
	}
}
