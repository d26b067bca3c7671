package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"windlass/tests/cluster/harness"
)

// Without volumes, which the cluster does not make; two of three members have each write that counts.
const redisSample = `
apiVersion: windlass.dev/v1alpha1
kind: Redis
metadata: { name: main }
spec:
  image: windlass.test/windlass-redis:local
  imagePullPolicy: Never
  storage: { ephemeral: {} }
  resources: { requests: { cpu: 10m, memory: 32Mi } }
`

const (
	// Between two tries to connect: a fraction of what a switchover takes.
	again = 20 * time.Millisecond
	// Between two writes: enough of them, and all can be looked for at the end.
	pace = 2 * time.Millisecond
)

func TestARedisKeepsWhatItAcknowledgedWhateverBecomesOfItsPrimary(t *testing.T) {
	loadRedis(t)
	harness.Define(t, plain, definitions)
	space := harness.Namespace(t, plain)
	startOperator(t, space, usualLease)
	harness.Create(t, plain, space, redisSample)
	term := serves(t, space, "0")
	writer := startWriter(t, space)

	if output, err := pluginCommand(t, space, "redis", "switchover", "main").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	term = serves(t, space, term)
	writer.goesOn(t, "a switchover")

	killRedis(t, space, primaryPod(t, space))
	term = serves(t, space, term)
	writer.goesOn(t, "the death of the primary's Redis")

	harness.Kube(t, plain, "-n", space, "delete", "pod", primaryPod(t, space), "--wait=false")
	serves(t, space, term)
	writer.goesOn(t, "the deletion of the primary's pod")
	writer.end(t)
}

// loadRedis makes the image of a Redis and gives it to the cluster.
func loadRedis(t *testing.T) {
	t.Helper()
	const image = "windlass.test/windlass-redis:local"
	file := filepath.Join(t.TempDir(), "redis.tar")
	making := exec.Command("../../charts/images/run", "--programs", os.Getenv("WINDLASS_OPERATOR"), "archive", "windlass-redis", image, file)
	if output, err := making.CombinedOutput(); err != nil {
		t.Fatalf("make the image: %v: %s", err, output)
	}
	harness.Run(t, "load", plain, file)
}

// pluginCommand is kubectl-windlass with arguments, not yet started.
func pluginCommand(t *testing.T, space string, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(program("kubectl-windlass"), append(arguments, "--namespace="+space)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+harness.Run(t, "kubeconfig", plain))
	return command
}

func redisField(t *testing.T, space, path string) string {
	t.Helper()
	return harness.Kube(t, plain, "-n", space, "get", "redis", "main", "--output", "jsonpath="+path)
}

func primaryPod(t *testing.T, space string) string {
	t.Helper()
	return "main-redis-" + redisField(t, space, "{.status.primary}")
}

// serves waits until there is a primary of a later term than this one, and every member has everything; then it returns that term.
func serves(t *testing.T, space, before string) (term string) {
	t.Helper()
	harness.Eventually(t, func() error {
		if term = redisField(t, space, "{.status.term}"); term == "" || term == before {
			return fmt.Errorf("the term: %q", term)
		}
		found := redisField(t, space, "{range .status.conditions[*]}{.type}={.status}/{.reason} {end}")
		for _, condition := range []string{"Ready=True/Serving", "ReplicationHealthy=True/InStep", "Progressing=False/Converged"} {
			if !strings.Contains(found, condition) {
				return fmt.Errorf("%s is not among %s", condition, found)
			}
		}
		return nil
	})
	return term
}

// killRedis kills the server of a pod, and not its agent. Of all servers on the machine it is told by its control group.
func killRedis(t *testing.T, space, pod string) {
	t.Helper()
	uid := harness.Kube(t, plain, "-n", space, "get", "pod", pod, "--output", "jsonpath={.metadata.uid}")
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range folders {
		name, _ := os.ReadFile(filepath.Join(folder, "comm"))
		groups, _ := os.ReadFile(filepath.Join(folder, "cgroup"))
		if strings.TrimSpace(string(name)) != "redis-server" || !strings.Contains(string(groups), uid) {
			continue
		}
		process, err := strconv.Atoi(filepath.Base(folder))
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(process, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no Redis runs in %s", pod)
}

// writer writes to whoever is the primary, one value after the other, and notes those that a replica confirmed too.
type writer struct {
	address, password string
	stop, stopped     chan struct{}

	mutex sync.Mutex
	kept  []int
	// When a write counted last, and the longest that none did since somebody asked.
	last    time.Time
	longest time.Duration
}

func startWriter(t *testing.T, space string) *writer {
	t.Helper()
	address := harness.Kube(t, plain, "-n", space, "get", "service", "main-redis", "--output", "jsonpath={.spec.clusterIP}")
	encoded := harness.Kube(t, plain, "-n", space, "get", "secret", "main-redis", "--output", "jsonpath={.data.windlass}")
	password, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	started := &writer{address: address + ":6379", password: string(password), stop: make(chan struct{}), stopped: make(chan struct{}), last: time.Now()}
	go started.run()
	t.Cleanup(started.halt)
	started.goesOn(t, "nothing yet")
	return started
}

func (w *writer) run() {
	defer close(w.stopped)
	var connection *connection
	for value := 1; ; value++ {
		select {
		case <-w.stop:
			return
		default:
		}
		if connection == nil {
			connection, _ = w.connect()
		}
		if connection == nil {
			// While there is no primary its Service refuses at once.
			<-time.After(again)
			continue
		}
		key := fmt.Sprintf("upload:test:%d", value)
		_, err := connection.call("SET", key, strconv.Itoa(value))
		var replicas string
		if err == nil {
			replicas, err = connection.call("WAIT", "1", "1000")
		}
		if err != nil {
			connection.Close()
			connection = nil
			continue
		}
		if replicas != "0" {
			w.keep(value)
		}
		<-time.After(pace)
	}
}

func (w *writer) keep(value int) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	now := time.Now()
	w.longest, w.last = max(w.longest, now.Sub(w.last)), now
	w.kept = append(w.kept, value)
}

// goesOn waits for a hundred more writes that count, and says for how long none did since it was asked last.
func (w *writer) goesOn(t *testing.T, after string) {
	t.Helper()
	count := func() int {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		return len(w.kept)
	}
	before := count()
	harness.Eventually(t, func() error {
		if now := count(); now < before+100 {
			return fmt.Errorf("after %s %d writes count", after, now-before)
		}
		return nil
	})
	w.mutex.Lock()
	defer w.mutex.Unlock()
	t.Logf("after %s: no write counted for %v", after, w.longest.Round(time.Millisecond))
	w.longest = 0
}

func (w *writer) halt() {
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
	<-w.stopped
}

// end looks for every write that counted.
func (w *writer) end(t *testing.T) {
	t.Helper()
	w.halt()
	var connected *connection
	harness.Eventually(t, func() (err error) { connected, err = w.connect(); return err })
	defer connected.Close()
	for _, value := range w.kept {
		found, err := connected.call("GET", fmt.Sprintf("upload:test:%d", value))
		if err != nil || found != strconv.Itoa(value) {
			t.Fatalf("write %d was acknowledged, and is %q: %v", value, found, err)
		}
	}
	t.Logf("%d acknowledged writes, none lost", len(w.kept))
}

// connection speaks as much of Redis's protocol as is needed here.
type connection struct {
	net.Conn
	replies *bufio.Reader
}

func (w *writer) connect() (*connection, error) {
	stream, err := net.DialTimeout("tcp", w.address, time.Second)
	if err != nil {
		return nil, err
	}
	connected := &connection{stream, bufio.NewReader(stream)}
	if _, err := connected.call("AUTH", "windlass", w.password); err != nil {
		stream.Close()
		return nil, err
	}
	return connected, nil
}

func (c *connection) call(words ...string) (string, error) {
	request := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		request += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	// A primary that is cut off answers nothing.
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		return "", err
	}
	line, err := c.replies.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[0], strings.TrimSpace(line[1:])
	switch kind {
	case '-':
		return "", fmt.Errorf("refused: %s", rest)
	case '$':
		length, err := strconv.Atoi(rest)
		if err != nil || length < 0 {
			return "", err
		}
		value := make([]byte, length+2)
		_, err = io.ReadFull(c.replies, value)
		return string(value[:length]), err
	default:
		return rest, nil
	}
}
