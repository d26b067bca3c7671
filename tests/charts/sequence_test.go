package charts

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"windlass/tests/cluster/harness"
)

const (
	// The section of docs/kubernetes.md whose commands are carried out, and the name that it gives its cluster.
	sequence        = "From a checkout to an upload"
	sequenceCluster = "try"
	// Measured: 75 s beside three other builds. Some of the commands wait for what may never come.
	sequenceLimit = 5 * time.Minute
)

var codeBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

func TestTheDocumentedSequenceLeadsFromACheckoutToAnUpload(t *testing.T) {
	t.Parallel()
	_, section, found := strings.Cut(read(t, "../../docs/kubernetes.md"), "## "+sequence+"\n")
	if !found {
		t.Fatalf("no section %q", sequence)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := codeBlock.FindAllStringSubmatch(section, -1)
	if len(blocks) < 5 {
		t.Fatalf("only %d blocks of commands", len(blocks))
	}
	// What is built and installed first, the stages of `tests/run` have built and installed: a release build of the operator alone
	// would take minutes.
	var commands strings.Builder
	for _, block := range blocks[1:] {
		commands.WriteString(block[1])
	}
	said := runSequence(t, blocks[0][1], commands.String())
	t.Log(said)
	if !regexp.MustCompile(`(?m)^\S+\ttarget/film.bin$`).MatchString(said) || !regexp.MustCompile(`(?m) completed 100 %$`).MatchString(said) {
		t.Errorf("no upload, or nobody saw it completed: %s", said)
	}
	if !regexp.MustCompile(`(?m) progress [1-9]\d? %$`).MatchString(said) {
		t.Errorf("nobody saw it move: %s", said)
	}
}

// runSequence carries the commands out in a checkout with the programs that `built` names, in a network and with processes of its own:
// whatever happens there ends with it, the cluster too, and port 8080 is nobody else's. It returns what they print.
func runSequence(t *testing.T, built, commands string) string {
	t.Helper()
	folder := checkout(t, matches(built, ` -p (\S+)`))
	context, cancel := context.WithTimeout(t.Context(), sequenceLimit)
	t.Cleanup(cancel)
	running := exec.CommandContext(context, "unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
		"bash", "-euo", "pipefail", "-c", "ip link set lo up\n"+commands)
	running.Dir = folder
	target := filepath.Join(folder, "target")
	running.Env = append(helmEnvironment(), "PATH="+filepath.Join(target, "tools")+":"+os.Getenv("PATH")+":/usr/sbin:/sbin", "CARGO_TARGET_DIR="+target,
		"XDG_STATE_HOME="+target, "KUBECACHEDIR="+target)
	running.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var output bytes.Buffer
	running.Stdout, running.Stderr = &output, &output
	// Its files, if the last command was not reached.
	t.Cleanup(func() { harness.Run(t, "down", sequenceCluster) })
	if err := running.Run(); err != nil {
		t.Fatalf("%v: %s", err, output.String())
	}
	return output.String()
}

// checkout is a folder that is to all commands what a checkout is in which these programs were built, on a machine with Helm and kubectl.
// What they write is written there.
func checkout(t *testing.T, programs []string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{
		// One binary is all components: the one it is called.
		"target/tools/kubectl": filepath.Join(os.Getenv("WINDLASS_KUBERNETES"), "kubernetes"),
		"target/tools/helm":    filepath.Join(os.Getenv("WINDLASS_CHART_TOOLS"), "helm"),
	}
	for _, entry := range entries {
		if entry.Name() != "target" && !strings.HasPrefix(entry.Name(), ".") {
			links[entry.Name()] = filepath.Join(root, entry.Name())
		}
	}
	for _, program := range programs {
		links["target/release/"+program] = filepath.Join(filepath.Dir(os.Getenv("WINDLASS_BIN")), program)
	}
	folder := t.TempDir()
	for name, leadsTo := range links {
		link := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(leadsTo, link)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}
