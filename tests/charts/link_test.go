package charts

import (
	"io"
	"net"
	"sync"
	"testing"
)

// link is a line from a port of this machine to an address, by which so many bytes go there as were allowed. What comes back is not held.
type link struct {
	port int
	more *sync.Cond
	left int64
}

// More than any test sends.
const everything = 1 << 40

func newLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	made := &link{port: listener.Addr().(*net.TCPAddr).Port, more: sync.NewCond(new(sync.Mutex))}
	t.Cleanup(func() {
		_ = listener.Close()
		// Or connections that still wait would do so for ever.
		made.allow(everything)
	})
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go made.carry(connection.(*net.TCPConn), to)
		}
	}()
	return made
}

// allow lets so many more bytes go, over all connections.
func (l *link) allow(bytes int64) {
	l.more.L.Lock()
	l.left += bytes
	l.more.L.Unlock()
	l.more.Broadcast()
}

// close holds whatever comes from now on.
func (l *link) close() {
	l.more.L.Lock()
	l.left = 0
	l.more.L.Unlock()
}

// take waits until some bytes are allowed, at most as many as wanted.
func (l *link) take(wanted int) int {
	l.more.L.Lock()
	defer l.more.L.Unlock()
	for l.left == 0 {
		l.more.Wait()
	}
	taken := min(int64(wanted), l.left)
	l.left -= taken
	return int(taken)
}

func (l *link) carry(client *net.TCPConn, to string) {
	defer client.Close()
	dialed, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	server := dialed.(*net.TCPConn)
	defer server.Close()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(client, server)
		_ = client.CloseWrite()
		close(ended)
	}()
	buffer := make([]byte, 16<<10)
	for {
		read, err := client.Read(buffer)
		for sent := 0; sent < read; {
			taken := l.take(read - sent)
			if _, failed := server.Write(buffer[sent : sent+taken]); failed != nil {
				err = failed
				break
			}
			sent += taken
		}
		if err != nil {
			break
		}
	}
	_ = server.CloseWrite()
	<-ended
}
