package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"time"
)

// once does a harm to the call of the given number among such calls, and says whether that has come.
func once(number int, is func(call) bool, what func(next http.Handler) http.HandlerFunc) (harm, *atomic.Bool) {
	var count atomic.Int32
	done := new(atomic.Bool)
	return func(which call, next http.Handler) http.Handler {
		if !is(which) || int(count.Add(1)) != number {
			return next
		}
		done.Store(true)
		return what(next)
	}, done
}

// dies kills the process at the given one of such calls: before the API server hears of it, or when it has answered and the
// process does not know yet.
func (o *operator) dies(at int, after bool, is func(call) bool) *atomic.Bool {
	died := new(atomic.Bool)
	what, _ := once(at, is, func(next http.Handler) http.HandlerFunc {
		return func(_ http.ResponseWriter, request *http.Request) {
			if after {
				next.ServeHTTP(httptest.NewRecorder(), request)
			}
			o.kill()
			died.Store(true)
			panic(http.ErrAbortHandler)
		}
	})
	o.do(what)
	return died
}

// answers says no in the API server's place. Seconds after which the caller may ask again are said unless they are none.
func answers(status int, reason string, retryAfter int) func(http.Handler) http.HandlerFunc {
	return func(http.Handler) http.HandlerFunc {
		return func(response http.ResponseWriter, _ *http.Request) {
			response.Header().Set("Content-Type", plain)
			if retryAfter > 0 {
				response.Header().Set("Retry-After", strconv.Itoa(retryAfter))
			}
			response.WriteHeader(status)
			_ = json.NewEncoder(response).Encode(statusOf(status, reason))
		}
	}
}

func statusOf(status int, reason string) object {
	return object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "a test says so", "reason": reason, "code": status}
}

// drops breaks the connection off before the API server hears of the call.
func drops(http.Handler) http.HandlerFunc {
	return func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
}

// cuts breaks the connection off in the middle of the answer.
func cuts(next http.Handler) http.HandlerFunc {
	return func(response http.ResponseWriter, request *http.Request) {
		whole := httptest.NewRecorder()
		next.ServeHTTP(whole, request)
		response.Header().Set("Content-Type", whole.Header().Get("Content-Type"))
		response.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()))
		response.WriteHeader(whole.Code)
		_, _ = response.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		_ = http.NewResponseController(response).Flush()
		panic(http.ErrAbortHandler)
	}
}

// event is a frame of a watch.
type event struct {
	Type   string
	Object struct{ Metadata struct{ Name string } }
}

// watches gives each frame of all watches of a resource to `pass`, which may take its time; what it refuses is not handed on.
func watches(resource string, pass func(event) bool) harm {
	return func(which call, next http.Handler) http.Handler {
		if which.verb != "watch" || which.resource != resource {
			return next
		}
		return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
			next.ServeHTTP(&frames{ResponseWriter: response, pass: pass}, request)
		})
	}
}

// frames hands a body on by its lines, each of which is an event.
type frames struct {
	http.ResponseWriter
	rest []byte
	pass func(event) bool
}

func (f *frames) Write(body []byte) (int, error) {
	f.rest = append(f.rest, body...)
	for {
		end := bytes.IndexByte(f.rest, '\n')
		if end < 0 {
			return len(body), nil
		}
		line := f.rest[:end+1]
		var told event
		if err := json.Unmarshal(line, &told); err != nil {
			return 0, fmt.Errorf("a frame that is no event: %w", err)
		}
		if f.pass(told) {
			if _, err := f.ResponseWriter.Write(line); err != nil {
				return 0, err
			}
		}
		f.rest = f.rest[end+1:]
	}
}

func (f *frames) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// all does several harms, each to what the others leave.
func all(harms ...harm) harm {
	return func(which call, next http.Handler) http.Handler {
		for _, one := range harms {
			next = one(which, next)
		}
		return next
	}
}

// ends ends the answers that go on, on a word, as an API server ends watches after a few minutes: whole, and without a reason.
func ends(word <-chan struct{}) func(http.Handler) http.HandlerFunc {
	return func(next http.Handler) http.HandlerFunc {
		return func(response http.ResponseWriter, request *http.Request) {
			select {
			case <-word:
				next.ServeHTTP(response, request)
				return
			default:
			}
			going, end := context.WithCancel(request.Context())
			defer end()
			go func() {
				select {
				case <-word:
					end()
				case <-going.Done():
				}
			}()
			defer func() {
				// What the forwarding complains of is this end; another one goes on.
				if complaint := recover(); complaint != nil && request.Context().Err() != nil {
					panic(complaint)
				}
			}()
			next.ServeHTTP(response, request.WithContext(going))
		}
	}
}

// on does a harm to all such calls, for as long as `when` holds, or always.
func on(is func(call) bool, when *atomic.Bool, what func(http.Handler) http.HandlerFunc) harm {
	return func(which call, next http.Handler) http.Handler {
		if !is(which) || when != nil && !when.Load() {
			return next
		}
		return what(next)
	}
}

// stays proves that something holds for a while.
func stays(holds func() error) error {
	for end := time.Now().Add(while); time.Now().Before(end); time.Sleep(look) {
		if err := holds(); err != nil {
			return err
		}
	}
	return nil
}

// Long enough for what would come at once, and again and again.
const while = 10 * time.Second
