package charts

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A service of this machine answers in milliseconds; one that does not is asked again.
var client = http.Client{Timeout: 10 * time.Second}

// services are both services on this machine with a Redis of their own: with what most series are of.
type services struct {
	programs []*exec.Cmd
	// Admin is the address of each service's `/metrics`; API that of its clients.
	admin, api map[string]string
}

// startServices starts them in a folder that the caller removes. They end with `context`.
func startServices(context context.Context, folder string) (*services, error) {
	redis, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(redis)
	keys := filepath.Join(folder, "keys.json")
	store := fmt.Sprintf("store: { redis: { url: \"redis://%s\" } }\n", redis)
	for file, content := range map[string]string{
		// A set without a usable key: its reading fails, which is counted.
		keys: `{"keys":[]}`,
		filepath.Join(folder, "windlass-upload.yaml"): fmt.Sprintf("auth: { jwks: { file: %q } }\n", keys) + store,
		// Nobody logs in, so that a connection can be opened.
		filepath.Join(folder, "windlass-push.yaml"): store,
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	started := &services{admin: map[string]string{}, api: map[string]string{}}
	server := exec.CommandContext(context, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder)
	if err := started.start(server); err != nil {
		return nil, err
	}
	for _, name := range []string{"windlass-upload", "windlass-push"} {
		if started.admin[name], err = freeAddress(); err != nil {
			return nil, err
		}
		program := exec.CommandContext(context, filepath.Join(filepath.Dir(os.Getenv("WINDLASS_BIN")), name),
			"--listen=127.0.0.1:0", "--admin-listen="+started.admin[name], "--config="+filepath.Join(folder, name+".yaml"))
		program.Dir = folder
		program.Stderr = os.Stderr
		output, err := program.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := started.start(program); err != nil {
			return nil, err
		}
		line, err := bufio.NewReader(output).ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("%s did not get ready: %w", name, err)
		}
		started.api[name] = strings.TrimPrefix(strings.TrimSpace(line), "ready on ")
	}
	return started, nil
}

func (s *services) start(program *exec.Cmd) error {
	if err := program.Start(); err != nil {
		return fmt.Errorf("start %s: %w", program.Path, err)
	}
	s.programs = append(s.programs, program)
	return nil
}

// end kills them, as nothing of them is needed, and waits.
func (s *services) end() {
	for _, program := range s.programs {
		_ = program.Process.Kill()
		_ = program.Wait()
	}
}

var series = regexp.MustCompile(`(?m)^(windlass_[a-z0-9_]+)(?:\{([^}]*)\})? `)

// labels reads a service's `/metrics`: of each series by name, the names of its labels.
func (s *services) labels(name string) (map[string]map[string]bool, error) {
	page, err := get("http://" + s.admin[name] + "/metrics")
	if err != nil {
		return nil, err
	}
	found := map[string]map[string]bool{}
	for _, match := range series.FindAllStringSubmatch(page, -1) {
		if found[match[1]] == nil {
			found[match[1]] = map[string]bool{}
		}
		for _, label := range labelName.FindAllStringSubmatch(match[2], -1) {
			found[match[1]][label[1]] = true
		}
	}
	return found, nil
}

var labelName = regexp.MustCompile(`([a-z_]+)=~?"`)

func get(address string) (string, error) {
	response, err := client.Get(address)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// connect opens a push connection, and leaves it once it stands.
func (s *services) connect() error {
	response, err := client.Get(s.api["windlass-push"] + "/connection/sse?cf_connect=" + url.QueryEscape(`{"id":1,"connect":{}}`))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: ") {
			return nil
		}
	}
	return fmt.Errorf("no connection, but %s", response.Status)
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
