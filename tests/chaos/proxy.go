package chaos

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// proxy stands between one operator process, or those that follow one another, and the API server. It counts what is
// asked, and does the harm that a test gives it.
type proxy struct {
	*httptest.Server
	forward http.Handler
	// To the API server, of its own: one over which too much is asked, that refuses.
	connections *http.Transport

	mutex sync.Mutex
	harm  harm
	// Of each kind of call: how many came. A call that was harmed came too.
	counts map[call]int
	// Reads that allow an answer from before another write, which no decision may rest on.
	careless []string
}

// harm is done to a call, in place of handing it on or around that. A nil one does none.
type harm func(which call, next http.Handler) http.Handler

// call is what a harm and a count tell requests by. The name is that of the object, if there is one.
type call struct{ verb, resource, name string }

func (c call) writes() bool { return c.verb != "get" && c.verb != "list" && c.verb != "watch" }

// Of leadership, not of a reconcile: they come by the clock.
func (c call) leads() bool { return c.resource == "leases" }

// Writes of a reconcile: how many there are is always the same.
func (c call) reconciles() bool { return c.writes() && !c.leads() }

func (c call) String() string { return strings.TrimSpace(c.verb + " " + c.resource + " " + c.name) }

func newProxy(to *api) (*proxy, error) {
	target, err := url.Parse(to.server)
	if err != nil {
		return nil, err
	}
	connections := to.transport.Clone()
	p := &proxy{counts: map[call]int{}, connections: connections, forward: &httputil.ReverseProxy{
		Rewrite:   func(request *httputil.ProxyRequest) { request.SetURL(target) },
		Transport: connections,
		// Events of a watch go on at once.
		FlushInterval: -1,
		// Operators that are killed break off; that is what they are here for.
		ErrorLog:     log.New(nothing{}, "", 0),
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}}
	p.Server = httptest.NewServer(p)
	return p, nil
}

type nothing struct{}

func (nothing) Write(text []byte) (int, error) { return len(text), nil }

func (p *proxy) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	which := callOf(request)
	p.mutex.Lock()
	p.counts[which]++
	if query := request.URL.Query(); which.verb == "get" || which.verb == "list" {
		if query.Has("resourceVersion") || query.Has("resourceVersionMatch") {
			p.careless = append(p.careless, request.URL.String())
		}
	}
	handler := p.forward
	if p.harm != nil {
		handler = p.harm(which, handler)
	}
	p.mutex.Unlock()
	handler.ServeHTTP(response, request)
}

// do does this harm from now on, and no other.
func (p *proxy) do(what harm) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.harm = what
}

// count is how many calls came that are so.
func (p *proxy) count(is func(call) bool) int {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	sum := 0
	for which, count := range p.counts {
		if is(which) {
			sum += count
		}
	}
	return sum
}

// said is what was asked, for whoever reads of a failure.
func (p *proxy) said() string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	var lines []string
	for which, count := range p.counts {
		lines = append(lines, fmt.Sprintf("%5d %s", count, which))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// callOf reads `/api/v1/…` and `/apis/GROUP/VERSION/…`, with or without a namespace.
func callOf(request *http.Request) call {
	parts := strings.Split(strings.Trim(request.URL.Path, "/"), "/")
	if parts[0] == "api" {
		parts = parts[min(2, len(parts)):]
	} else {
		parts = parts[min(3, len(parts)):]
	}
	if len(parts) > 2 && parts[0] == "namespaces" {
		parts = parts[2:]
	}
	which := call{verb: map[string]string{"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[request.Method]}
	if len(parts) > 0 {
		which.resource = parts[0]
	}
	if len(parts) > 1 {
		which.name = parts[1]
	}
	if len(parts) > 2 {
		which.resource += "/" + parts[2]
	}
	switch {
	case which.verb != "":
	case request.URL.Query().Has("watch"):
		which.verb = "watch"
	case which.name == "":
		which.verb = "list"
	default:
		which.verb = "get"
	}
	return which
}
