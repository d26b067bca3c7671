package chaos

import (
	"bytes"
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
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// Seconds that a silent leader's lease counts; a leader who is starved for two thirds of them is lost. Whoever follows one
// that was killed waits for a short one.
const (
	usualLease = 15
	shortLease = 5
)

// operator is one that is started anew whenever it ends, as a kubelet does, and reaches the API server only by its proxy.
type operator struct {
	*proxy
	arguments []string
	admin     string
	config    string

	mutex  sync.Mutex
	said   bytes.Buffer
	starts int
	// The process that runs; none once the test is over.
	process *os.Process
	ended   chan struct{}
	over    bool
}

// newOperator is one for a namespace, that does not run yet: first it is said what harm is done to it.
func newOperator(t *testing.T, space string, leaseSeconds int) *operator {
	t.Helper()
	proxy, err := newProxy(server)
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{proxy: proxy, admin: freeAddress(t), config: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := os.WriteFile(o.config, fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: proxy, cluster: {server: %q}}]
contexts: [{name: proxy, context: {cluster: proxy, user: nobody}}]
users: [{name: nobody, user: {}}]
current-context: proxy
`, proxy.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	o.arguments = []string{"--namespace=" + space, "--lease-namespace=" + space, fmt.Sprintf("--lease-seconds=%d", leaseSeconds), "--admin-listen=" + o.admin}
	return o
}

// run looks after the namespace until the test ends.
func (o *operator) run(t *testing.T) {
	t.Helper()
	if err := o.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.end(t) })
}

// start begins a process, and when it ends, the next one.
func (o *operator) start() error {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	if o.over {
		return nil
	}
	command := exec.Command(filepath.Join(os.Getenv("WINDLASS_OPERATOR"), "windlass-operator"), o.arguments...)
	command.Env = append(os.Environ(), "KUBECONFIG="+o.config)
	command.Stderr = transcript{o}
	// Its end is the test's, however that ends.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := command.Start(); err != nil {
		return err
	}
	o.starts++
	o.process, o.ended = command.Process, make(chan struct{})
	go func(ended chan struct{}) {
		_ = command.Wait()
		close(ended)
		_ = o.start()
	}(o.ended)
	return nil
}

// transcript keeps what the processes say.
type transcript struct{ of *operator }

func (w transcript) Write(text []byte) (int, error) {
	w.of.mutex.Lock()
	defer w.of.mutex.Unlock()
	return w.of.said.Write(text)
}

// signal sends one to the process that runs now.
func (o *operator) signal(what syscall.Signal) (ended chan struct{}) {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	_ = o.process.Signal(what)
	return o.ended
}

// kill returns when the process is gone: nothing of it is sent after that.
func (o *operator) kill() { <-o.signal(syscall.SIGKILL) }

// last says that none follows the process that runs.
func (o *operator) last() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.over = true
}

func (o *operator) end(t *testing.T) {
	o.last()
	o.kill()
	o.CloseClientConnections()
	o.Close()
	o.connections.CloseIdleConnections()
	if careless := o.careless; len(careless) > 0 {
		t.Errorf("reads that an old answer satisfies: %v", careless)
	}
	if t.Failed() {
		t.Logf("%d starts\n%s\n%s", o.starts, o.said.String(), o.proxy.said())
	}
}

// watching waits until all kinds are watched.
func (o *operator) watching(t *testing.T, of controller) {
	t.Helper()
	eventually(t, func() error {
		if opened := o.count(func(which call) bool { return which.verb == "watch" }); opened <= len(of.makes) {
			return fmt.Errorf("%d watches", opened)
		}
		return nil
	})
}

// started is how often it was.
func (o *operator) started() int {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	return o.starts
}

// metric sums a metric of the process that runs over its labels; an error while there is none that answers.
func (o *operator) metric(name string) (int, error) {
	response, err := http.Get("http://" + o.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	sum := 0
	for _, sample := range regexp.MustCompile(`(?m)^windlass_operator_`+name+`(?:_total)?(?:\{.*\})? (\d+)$`).FindAllSubmatch(text, -1) {
		value, err := strconv.Atoi(string(sample[1]))
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, nil
}

// resident is the memory of the process that runs, in MiB.
func (o *operator) resident(t *testing.T) int {
	t.Helper()
	o.mutex.Lock()
	defer o.mutex.Unlock()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", o.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	size, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return size >> 10
}

// Operators so far, each with a loopback address of its own: no connection of the tests can be in the way of a port there
// while its process is started anew.
var operators atomic.Int32

func freeAddress(t *testing.T) string {
	t.Helper()
	number := operators.Add(1)
	listener, err := net.Listen("tcp", fmt.Sprintf("127.1.%d.%d:0", number>>8, number&255))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
