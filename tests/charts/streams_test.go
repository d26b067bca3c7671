package charts

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What moves in an idle cluster moves within a second or two.
const moving = 60 * time.Second

// stream is the percentages that a watcher is shown, until the channel is closed at its end.
type stream chan int

// reaches waits for a percentage.
func (s stream) reaches(t *testing.T, percent int) {
	t.Helper()
	late, seen := time.After(moving), -1
	for {
		select {
		case progress, open := <-s:
			if !open {
				t.Fatalf("the stream ended at %d %%, before %d %%", seen, percent)
			}
			if progress < seen {
				t.Fatalf("%d %% after %d %%", progress, seen)
			}
			if seen = progress; seen >= percent {
				return
			}
		case <-late:
			t.Fatalf("%d %% is not reached, only %d %%", percent, seen)
		}
	}
}

// ends waits for the end.
func (s stream) ends(t *testing.T) {
	t.Helper()
	for late := time.After(moving); ; {
		select {
		case _, open := <-s:
			if !open {
				return
			}
		case <-late:
			t.Fatal("the stream does not end")
		}
	}
}

// events opens an event stream on a host.
func events(t *testing.T, address, host, task, login string) stream {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/events/"+task, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	request.Header.Set("Authorization", "Bearer "+login)
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		t.Fatalf("events by %s: %s", host, response.Status)
	}
	lines := bufio.NewScanner(response.Body)
	return follow(response.Body, func() (string, bool) {
		for lines.Scan() {
			if data, found := strings.CutPrefix(lines.Text(), "data:"); found {
				return data, true
			}
		}
		return "", false
	})
}

// follow reads percentages out of JSON until there are no more messages. A watcher that nobody reads any more is left alone.
func follow(source io.Closer, next func() (string, bool)) stream {
	shown := make(stream, 200)
	go func() {
		defer close(shown)
		defer source.Close()
		for {
			text, more := next()
			if !more {
				return
			}
			var message struct{ Progress *int }
			if json.Unmarshal([]byte(text), &message) == nil && message.Progress != nil {
				shown <- *message.Progress
			}
		}
	}()
	return shown
}

// socket opens a plain WebSocket (RFC 6455) on a host and joins a task.
func socket(t *testing.T, address, host, task, login string) stream {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	key := make([]byte, 16)
	_, _ = rand.Read(key)
	fmt.Fprintf(connection, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: %s\r\nAuthorization: Bearer %s\r\n\r\n", host, base64.StdEncoding.EncodeToString(key), login)
	reader := bufio.NewReader(connection)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("a WebSocket by %s: %s", host, response.Status)
	}
	join := fmt.Sprintf(`{"type":"join","fileId":%q}`, task)
	if _, err := connection.Write(frame(text, []byte(join))); err != nil {
		t.Fatal(err)
	}
	return follow(connection, func() (string, bool) {
		for {
			kind, payload, err := readFrame(reader)
			switch {
			case err != nil || kind == closing:
				return "", false
			case kind == text:
				return string(payload), true
			case kind == ping:
				_, _ = connection.Write(frame(pong, payload))
			}
		}
	})
}

// Kinds of frames, RFC 6455 section 5.2.
const (
	text    = 1
	closing = 8
	ping    = 9
	pong    = 10
)

// frame is a whole message of a client, of less than 126 bytes and masked with zeros, which is a mask like any other.
func frame(kind byte, payload []byte) []byte {
	return append([]byte{0x80 | kind, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

// readFrame reads one of a server's, which has no mask.
func readFrame(reader *bufio.Reader) (kind byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(reader, head[:]); err != nil {
		return 0, nil, err
	}
	length := uint64(head[1])
	switch length {
	case 126:
		var long uint16
		err = binary.Read(reader, binary.BigEndian, &long)
		length = uint64(long)
	case 127:
		err = binary.Read(reader, binary.BigEndian, &length)
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(reader, payload)
	return head[0] & 0x0f, payload, err
}
