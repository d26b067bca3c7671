package charts

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"windlass/tests/cluster/harness"
)

//go:embed files/behind-gateway.yaml
var platformBehindGateway string

const (
	// The host of its routes: every machine knows it by name.
	routed     = "localhost"
	uploadPods = "--selector=app.kubernetes.io/name=windlass-upload"
)

// Routes by Ingress, as docs/kubernetes.md has them: what no pod has seen yet is tried again on another.
const ingressRoutes = `{"spec": {"routes": {"gateway": null, "ingress": {"className": "contour", "annotations": {
	"projectcontour.io/response-timeout": "infinity", "projectcontour.io/websocket-routes": "/ws, /connection/websocket",
	"projectcontour.io/retry-on": "connect-failure,refused-stream,reset-before-request", "projectcontour.io/num-retries": "5"}}}}}`

// What an upload is of: some pieces, each of which is durable before the next is let through.
const (
	piece  = 4 << 20
	pieces = 8
)

// behind is a Platform whose clients come through Envoy, as they do everywhere.
type behind struct {
	space string
	// Where clients reach it: by a line that holds what it is told to, whose port is in the URLs of uploads; and without.
	line    *link
	gateway string
}

func TestClientsBehindAGatewayDoNotNoticeWhatPodsDo(t *testing.T) {
	t.Parallel()
	platform := startBehind(t)
	// One after another: each takes pods away from the others.
	t.Run("a stream and a body longer than the gateway's own time limit stay open", platform.longer)
	t.Run("a pod is deleted", func(t *testing.T) { platform.goesOn(t, platform.put, platform.deletePod) })
	t.Run("a pod is deleted under the stock SDK", func(t *testing.T) { platform.goesOn(t, platform.sdk, platform.deletePod) })
	t.Run("a pod is killed without notice", func(t *testing.T) { platform.goesOn(t, platform.put, platform.killPod) })
	harness.Kube(t, cluster, "-n", platform.space, "patch", "platform", "up", "--type=merge", "--patch="+ingressRoutes)
	harness.Eventually(t, func() error {
		if left := harness.Kube(t, cluster, "-n", platform.space, "get", "httproutes", "--selector=windlass.dev/platform=up", "--output", "name"); left != "" {
			return fmt.Errorf("%s is still there", left)
		}
		return platform.answers()
	})
	t.Run("by an Ingress", platform.longer)
	t.Run("a pod is killed under the stock SDK, and the gateway tries again", func(t *testing.T) { platform.goesOn(t, platform.sdk, platform.killPod) })
}

func startBehind(t *testing.T) *behind {
	t.Helper()
	gateway := harness.Run(t, "gateway", cluster)
	platform := &behind{space: harness.Namespace(t, cluster), gateway: gateway, line: newLink(t, gateway)}
	createNeeds(t, platform.space)
	harness.Create(t, cluster, platform.space, clientPod("client", "{ role: client }")+
		"---\n"+strings.ReplaceAll(platformBehindGateway, "$PORT", strconv.Itoa(platform.line.port)))
	harness.Eventually(t, func() error {
		conditions := harness.Kube(t, cluster, "-n", platform.space, "get", "platform", "up", "--output", "jsonpath={.status.conditions}")
		if !strings.Contains(conditions, `"reason":"Serving"`) {
			return fmt.Errorf("%s: %s", conditions, harness.Kube(t, cluster, "-n", platform.space, "get", "pods"))
		}
		return platform.answers()
	})
	accepted := harness.Kube(t, cluster, "-n", platform.space, "get", "httproute", "up", "--output",
		`jsonpath={.status.parents[0].conditions[?(@.type=="Accepted")].status}`)
	if accepted != "True" {
		t.Errorf("the HTTPRoute is accepted: %s", accepted)
	}
	return platform
}

// answers fails until both services do, by the route.
func (b *behind) answers() error {
	for path, want := range map[string]int{"/tasks": http.StatusOK, "/files/": http.StatusNoContent} {
		method := http.MethodGet
		if path == "/files/" {
			method = http.MethodOptions
		}
		response, err := b.ask(method, path, nil, nil)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != want {
			return fmt.Errorf("%s: %s", path, response.Status)
		}
	}
	return nil
}

// ask sends a request through the gateway, with a login.
func (b *behind) ask(method, path string, headers map[string]string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequest(method, "http://"+b.gateway+path, body)
	if err != nil {
		return nil, err
	}
	request.Host = routed
	request.Header.Set("Authorization", "Bearer "+token())
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	return http.DefaultTransport.RoundTrip(request)
}

// longer holds a body and two watchers open for longer than Envoy lets requests be that nobody says anything of.
func (b *behind) longer(t *testing.T) {
	created, err := b.ask(http.MethodPost, "/files/", map[string]string{"Tus-Resumable": "1.0.0", "Upload-Length": "1000"}, nil)
	if err != nil || created.StatusCode != http.StatusCreated {
		t.Fatalf("create: %v, %v", created, err)
	}
	created.Body.Close()
	location := created.Header.Get("Location")
	// …/files/TENANT/TASK/…
	path := location[strings.Index(location, "/files/"):]
	task := strings.Split(path, "/")[3]
	login := token()
	watchers := []stream{events(t, b.gateway, routed, task, login), socket(t, b.gateway, routed, task, login)}
	limited := events(t, b.gateway, "limited.example", task, login)
	body, source := io.Pipe()
	answered := make(chan string, 1)
	go func() {
		headers := map[string]string{"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
		response, err := b.ask(http.MethodPatch, path, headers, body)
		if err != nil {
			answered <- err.Error()
			return
		}
		response.Body.Close()
		answered <- response.Status
	}()
	send := func(bytes, percent int) {
		if _, err := source.Write(make([]byte, bytes)); err != nil {
			t.Fatal(err)
		}
		for _, watcher := range watchers {
			watcher.reaches(t, percent)
		}
	}
	send(100, 10)
	// The same stream by a route without `timeouts` says when that time is over.
	limited.ends(t)
	send(400, 50)
	// The last byte is whole only with the verdict.
	if _, err := source.Write(make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	_ = source.Close()
	if status := <-answered; !strings.HasPrefix(status, "204") {
		t.Errorf("the body: %s", status)
	}
	for _, watcher := range watchers {
		watcher.reaches(t, 100)
	}
	watchers[0].ends(t)
}

// goesOn uploads a file while the pod that takes it goes, and while somebody watches.
func (b *behind) goesOn(t *testing.T, client func(t *testing.T, file string) *exec.Cmd, goes func(*testing.T, string)) {
	file := filepath.Join(t.TempDir(), "film.bin")
	if err := os.WriteFile(file, bytes.Repeat([]byte("windlass"), piece*pieces/8), 0o600); err != nil {
		t.Fatal(err)
	}
	before := b.newest(t)
	uploading := client(t, file)
	var said bytes.Buffer
	uploading.Stdout, uploading.Stderr = &said, &said
	b.line.allow(piece)
	if err := uploading.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = uploading.Process.Kill() })
	var task string
	harness.Eventually(t, func() error {
		if task = b.newest(t); task == before {
			return errors.New("no upload yet")
		}
		return nil
	})
	shown := b.watch(t, task)
	shown.reaches(t, 1)
	b.line.close()
	pod := b.holder(t)
	goes(t, pod)
	b.line.allow(everything)
	if err := uploading.Wait(); err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	b.line.close()
	shown.reaches(t, 100)
	if !strings.Contains(said.String(), task+"\t"+file) {
		t.Errorf("another upload than the one that was begun: %s", said.String())
	}
	t.Logf("what the client met: %s", said.String())
	b.settle(t, pod)
}

// settle puts a new pod in the place of one that may have been killed, which the kubelet would start again later each time, and waits until
// two take uploads.
func (b *behind) settle(t *testing.T, pod string) {
	t.Helper()
	harness.Kube(t, cluster, "-n", b.space, "delete", "pod", pod, "--ignore-not-found")
	harness.Eventually(t, func() error {
		ready := harness.Kube(t, cluster, "-n", b.space, "get", "pods", uploadPods, "--output", "jsonpath={.items[*].status.containerStatuses[*].ready}")
		if ready != "true true" {
			return fmt.Errorf("pods ready: %q", ready)
		}
		return nil
	})
}

// put is `windlass put` by the line.
func (b *behind) put(t *testing.T, file string) *exec.Cmd {
	t.Helper()
	// Longer than it is held here, and than a busy gateway takes to hear of a death: what breaks it off shall be the pod, not its patience.
	return b.client(t, os.Getenv("WINDLASS_BIN"), "put", "--to="+b.origin(b.line), "--stall-after=2m", "--give-up-after=2m", "--failure-log=/dev/stderr", file)
}

// sdk is tus-js-client by the line.
func (b *behind) sdk(t *testing.T, file string) *exec.Cmd {
	t.Helper()
	return b.client(t, "node", "../clients/support/tus-put.mjs", b.origin(b.line), file)
}

func (b *behind) origin(line *link) string { return fmt.Sprintf("http://%s:%d", routed, line.port) }

// client is a command with a login and a memory of the test's own.
func (b *behind) client(t *testing.T, program string, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(program, arguments...)
	command.Env = append(os.Environ(), "WINDLASS_TOKEN="+token(), "XDG_STATE_HOME="+t.TempDir())
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// watch is `windlass watch`, which ends by itself.
func (b *behind) watch(t *testing.T, task string) stream {
	t.Helper()
	open := newLink(t, b.gateway)
	open.allow(everything)
	watching := b.client(t, os.Getenv("WINDLASS_BIN"), "watch", "--json", "--to="+b.origin(open), task)
	output, err := watching.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watching.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = watching.Process.Kill()
		_ = watching.Wait()
	})
	lines := bufio.NewScanner(output)
	return follow(output, func() (string, bool) {
		more := lines.Scan()
		return lines.Text(), more
	})
}

// newest is the last upload of the login; empty without any.
func (b *behind) newest(t *testing.T) string {
	t.Helper()
	response, err := b.ask(http.MethodGet, "/tasks?limit=1", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var list struct{ Tasks []struct{ TaskID string } }
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	if len(list.Tasks) == 0 {
		return ""
	}
	return list.Tasks[0].TaskID
}

// holder is the pod that takes a body.
func (b *behind) holder(t *testing.T) (pod string) {
	t.Helper()
	harness.Eventually(t, func() error {
		for _, line := range strings.Split(harness.Kube(t, cluster, "-n", b.space, "get", "pods", uploadPods,
			"--output", `jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{"\n"}{end}`), "\n") {
			name, address, _ := strings.Cut(line, " ")
			metrics := harness.Fetch(t, cluster, b.space, "client", "http://"+address+":9090/metrics")
			if strings.Contains(metrics, "\nwindlass_upload_appending 1\n") {
				pod = name
				return nil
			}
		}
		return fmt.Errorf("no pod takes a body")
	})
	return pod
}

// deletePod does as a drain does, and waits until the pod has gone: what it had under way has been answered.
func (b *behind) deletePod(t *testing.T, pod string) {
	harness.Kube(t, cluster, "-n", b.space, "delete", "pod", pod)
}

// killPod kills a pod's process. Nobody has been told when this returns.
func (b *behind) killPod(t *testing.T, pod string) {
	uid := harness.Kube(t, cluster, "-n", b.space, "get", "pod", pod, "--output", "jsonpath={.metadata.uid}")
	processes, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, cgroup := range processes {
		folder := filepath.Dir(cgroup)
		// A process may end while it is looked at.
		group, _ := os.ReadFile(cgroup)
		name, _ := os.ReadFile(filepath.Join(folder, "comm"))
		if strings.Contains(string(group), uid) && strings.TrimSpace(string(name)) == "windlass-upload" {
			id, err := strconv.Atoi(filepath.Base(folder))
			if err == nil {
				err = syscall.Kill(id, syscall.SIGKILL)
			}
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no process of %s", pod)
}
