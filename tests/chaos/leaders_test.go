package chaos

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestAnAPIServerThatWasAwayForLongerThanALeaseIsFollowedByTheSameWorld(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		ends, _ := undisturbed(t, of)
		space := prepare(t)
		operator := newOperator(t, space, shortLease)
		var away atomic.Bool
		operator.do(on(func(call) bool { return true }, &away, drops))
		operator.run(t)
		of.make(t, space)
		becomes(t, of, space, ends[0])
		away.Store(true)
		of.change(t, space, of.history[0].spec)
		started := operator.started()
		eventually(t, func() error {
			if operator.started() == started {
				return errors.New("it still takes itself to lead")
			}
			return nil
		})
		away.Store(false)
		becomes(t, of, space, ends[1])
		if removed := operator.count(func(which call) bool { return which.verb == "delete" }); removed > 0 {
			t.Errorf("%d removals were asked for", removed)
		}
	})
}

// One that is stopped for longer than its lease goes on as if nothing had happened: and writes nothing.
func TestAPausedLeaderWritesNothingOnceAnotherLeads(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		ends, _ := undisturbed(t, of)
		space := prepare(t)
		first := newOperator(t, space, usualLease)
		first.run(t)
		of.make(t, space)
		becomes(t, of, space, ends[0])
		first.last()
		first.signal(syscall.SIGSTOP)
		second := newOperator(t, space, usualLease)
		second.run(t)
		of.change(t, space, of.history[0].spec)
		becomes(t, of, space, ends[1])

		wrote := first.count(call.writes)
		// What happened meanwhile it hears of as soon as it runs.
		ended := first.signal(syscall.SIGCONT)
		eventually(t, func() error {
			select {
			case <-ended:
				return nil
			default:
				return errors.New("it still runs")
			}
		})
		if now := first.count(call.writes); now != wrote {
			t.Errorf("%d writes of one that does not lead", now-wrote)
		}
		becomes(t, of, space, ends[1])
	})
}

// A write that was on its way when its writer was stopped arrives after another has taken over: it is refused where the object
// has changed, and undone where it makes what is not wanted any more.
func TestAWriteThatArrivesUnderTheNextLeaderIsRefusedOrUndone(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		ends, _ := undisturbed(t, of)
		for _, late := range []struct {
			does, resource string
			// Which write of it: the first step makes two.
			number int
			// The history by whose first step it is written, and by whose last it is not wanted so.
			before, after []step
			answered      int
		}{
			{"changes", "deployments", 3, of.history[:1], nil, http.StatusConflict},
			{"makes what is not wanted", of.sheds, 1, nil, of.history[len(of.history)-1:], http.StatusCreated},
		} {
			t.Run(late.does, func(t *testing.T) {
				t.Parallel()
				space := prepare(t)
				first, held := newOperator(t, space, usualLease), make(chan struct{})
				release := sync.OnceFunc(func() { close(held) })
				answered := make(chan int, 1)
				what, underway := once(late.number, func(which call) bool { return which.verb == "patch" && which.resource == late.resource }, func(next http.Handler) http.HandlerFunc {
					return func(_ http.ResponseWriter, request *http.Request) {
						<-held
						answer := httptest.NewRecorder()
						next.ServeHTTP(answer, request)
						answered <- answer.Code
						panic(http.ErrAbortHandler)
					}
				})
				first.do(what)
				first.run(t)
				t.Cleanup(release)
				of.make(t, space)
				end := ends[0]
				for number, step := range late.before {
					becomes(t, of, space, ends[number])
					of.change(t, space, step.spec)
					end = ends[number+1]
				}
				eventually(t, func() error {
					if !underway.Load() {
						return fmt.Errorf("no write of %s", late.resource)
					}
					return nil
				})
				first.last()
				first.signal(syscall.SIGSTOP)
				second := newOperator(t, space, usualLease)
				second.run(t)
				becomes(t, of, space, end)
				for _, step := range late.after {
					of.change(t, space, step.spec)
					eventually(t, func() error { return settled(of, space) })
					var err error
					if end, err = observe(of, space); err != nil {
						t.Fatal(err)
					}
				}
				release()
				if code := <-answered; code != late.answered {
					t.Errorf("the late write was answered %d", code)
				}
				becomes(t, of, space, end)
			})
		}
	})
}
