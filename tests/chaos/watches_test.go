package chaos

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// What one event would have told is found without it: by a second look, or by the list after the watch's end.
func TestAMissedEventIsMadeUpFor(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		ends, _ := undisturbed(t, of)
		const owned = "api/v1/services"
		for _, missed := range []struct {
			kind, event, does string
			happens           func(t *testing.T, space string)
			want              world
		}{
			{of.resource, "MODIFIED", "is changed", func(t *testing.T, space string) { of.change(t, space, of.history[0].spec) }, ends[1]},
			{owned, "MODIFIED", "is changed by somebody", func(t *testing.T, space string) {
				if _, err := server.patch(first(t, space, owned), object{"spec": object{"selector": object{"app.kubernetes.io/name": "other"}}}); err != nil {
					t.Fatal(err)
				}
			}, ends[0]},
			{owned, "DELETED", "is removed by somebody", func(t *testing.T, space string) {
				if _, err := server.remove(first(t, space, owned)); err != nil {
					t.Fatal(err)
				}
			}, ends[0]},
		} {
			t.Run(resourceOf(missed.kind)+" "+missed.does, func(t *testing.T) {
				t.Parallel()
				space := prepare(t)
				operator := newOperator(t, space, usualLease)
				var deaf atomic.Bool
				var unheard atomic.Int32
				operator.do(watches(resourceOf(missed.kind), func(told event) bool {
					if !deaf.Load() || told.Type != missed.event {
						return true
					}
					unheard.Add(1)
					return false
				}))
				operator.run(t)
				of.make(t, space)
				becomes(t, of, space, ends[0])
				deaf.Store(true)
				missed.happens(t, space)
				eventually(t, func() error {
					if unheard.Load() == 0 {
						return errors.New("there was no such event")
					}
					return nil
				})
				becomes(t, of, space, missed.want)
			})
		}
	})
}

func TestAResourceWhoseEventWasMissedIsFoundWhenItsWatchEnds(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		worlds, _ := undisturbed(t, of)
		space := prepare(t)
		operator := newOperator(t, space, usualLease)
		var unheard atomic.Bool
		end := make(chan struct{})
		deaf := watches(resourceOf(of.resource), func(told event) bool {
			if told.Type == "ADDED" {
				unheard.Store(true)
			}
			return told.Type != "ADDED"
		})
		operator.do(all(deaf, on(func(which call) bool { return which.verb == "watch" }, nil, ends(end))))
		operator.run(t)
		operator.watching(t, of)
		of.make(t, space)
		eventually(t, func() error {
			if !unheard.Load() {
				return errors.New("no event yet")
			}
			return nil
		})
		close(end)
		becomes(t, of, space, worlds[0])
	})
}

// Frames that come late, and all at once, do no harm: they say only where to look.
func TestEventsThatAreHeldBackChangeNothing(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		ends, _ := undisturbed(t, of)
		space := prepare(t)
		operator := newOperator(t, space, usualLease)
		held := make(chan struct{})
		release := sync.OnceFunc(func() { close(held) })
		var harms []harm
		for _, kind := range append([]string{of.resource}, of.makes...) {
			harms = append(harms, watches(resourceOf(kind), func(event) bool { <-held; return true }))
		}
		operator.do(all(harms...))
		of.make(t, space)
		operator.run(t)
		t.Cleanup(release)
		// The list tells of the resource; that all is made, a second look finds.
		becomes(t, of, space, ends[0])
		for _, step := range of.history {
			of.change(t, space, step.spec)
		}
		release()
		becomes(t, of, space, ends[len(ends)-1])
	})
}

// An API server that lets no watch live is not asked as fast as it can answer.
func TestWatchesThatEndAtOnceAreOpenedEverMoreSlowly(t *testing.T) {
	ended := func(http.Handler) http.HandlerFunc {
		return func(response http.ResponseWriter, _ *http.Request) { response.Header().Set("Content-Type", plain) }
	}
	expired := func(http.Handler) http.HandlerFunc {
		return func(response http.ResponseWriter, _ *http.Request) {
			response.Header().Set("Content-Type", plain)
			fmt.Fprintln(response, `{"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "too old", "reason": "Expired", "code": 410}}`)
		}
	}
	each(t, func(t *testing.T, of controller) {
		ends, _ := undisturbed(t, of)
		for ending, what := range map[string]func(http.Handler) http.HandlerFunc{
			"ended": ended, "expired": expired, "gone": answers(http.StatusGone, "Expired", 0), "cut": drops,
		} {
			t.Run(ending, func(t *testing.T) {
				t.Parallel()
				space := prepare(t)
				operator := newOperator(t, space, usualLease)
				var bad atomic.Bool
				bad.Store(true)
				watch := func(which call) bool { return which.verb == "watch" }
				operator.do(on(watch, &bad, what))
				of.make(t, space)
				operator.run(t)
				operator.watching(t, of)
				// Half a second, one, two, four: five in these seconds, by each of two who may watch it, and again by a new leader.
				own := func(which call) bool { return watch(which) && which.resource == resourceOf(of.resource) }
				if err := stays(func() error {
					if opened := operator.count(own); opened > 15*operator.started() {
						return fmt.Errorf("%d watches were opened", opened)
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				becomes(t, of, space, ends[0])
				bad.Store(false)
				of.change(t, space, of.history[0].spec)
				becomes(t, of, space, ends[1])
			})
		}
	})
}

// Lists from before are served again, as no API server may: whatever is decided from them is refused, for each write names
// what it was decided on. Nothing is removed or made anew.
func TestADecisionOnAnOldListIsRefused(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		ends, _ := undisturbed(t, of)
		for _, step := range []step{of.history[0], of.history[len(of.history)-1]} {
			t.Run(step.does, func(t *testing.T) {
				t.Parallel()
				space := prepare(t)
				operator := newOperator(t, space, usualLease)
				lists := remembers()
				operator.do(lists.harm)
				operator.run(t)
				of.make(t, space)
				becomes(t, of, space, ends[0])
				lists.keep()
				of.change(t, space, step.spec)
				eventually(t, func() error { return settled(of, space) })
				before, stood := state(t, of, space), operator.count(call.reconciles)

				served := lists.replay()
				of.touch(t, space, "looked at")
				eventually(t, func() error {
					if served.Load() < int32(len(of.makes)) || operator.count(call.reconciles) == stood {
						return fmt.Errorf("%d old lists were served, and %d writes tried", served.Load(), operator.count(call.reconciles)-stood)
					}
					return nil
				})
				if err := stays(func() error { return difference(before, state(t, of, space)) }); err != nil {
					t.Fatal(err)
				}
				lists.forget()
				of.touch(t, space, nil)
				eventually(t, func() error { return settled(of, space) })
				if err := difference(before, state(t, of, space)); err != nil {
					t.Error(err)
				}
			})
		}
	})
}

// state is which objects there are, by their uids, and in which version: nothing is written as long as it stays the same.
func state(t *testing.T, of controller, space string) world {
	t.Helper()
	seen := world{}
	for _, kind := range of.makes {
		for _, found := range items(t, space, kind) {
			seen[fmt.Sprint(kind, " ", at(found, "metadata", "name"))] = fmt.Sprint(at(found, "metadata", "uid"), " ", at(found, "metadata", "resourceVersion"))
		}
	}
	return seen
}

// old keeps the answers to lists, and gives them again.
type old struct {
	mutex   sync.Mutex
	newest  map[string]*httptest.ResponseRecorder
	kept    map[string]*httptest.ResponseRecorder
	replays bool
	served  atomic.Int32
}

func remembers() *old { return &old{newest: map[string]*httptest.ResponseRecorder{}} }

func (o *old) harm(which call, next http.Handler) http.Handler {
	if which.verb != "list" {
		return next
	}
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		// The same words: a list of all fields is not one of names.
		question := request.URL.String() + request.Header.Get("Accept")
		o.mutex.Lock()
		answer := o.kept[question]
		replays := o.replays
		o.mutex.Unlock()
		if replays && answer != nil {
			o.served.Add(1)
		} else {
			answer = httptest.NewRecorder()
			next.ServeHTTP(answer, request)
			o.mutex.Lock()
			o.newest[question] = answer
			o.mutex.Unlock()
		}
		response.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		response.WriteHeader(answer.Code)
		_, _ = response.Write(answer.Body.Bytes())
	})
}

// keep takes what was answered last as what will be answered again.
func (o *old) keep() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.kept, o.newest = o.newest, map[string]*httptest.ResponseRecorder{}
}

func (o *old) replay() *atomic.Int32 {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.replays = true
	return &o.served
}

func (o *old) forget() {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.replays = false
}
