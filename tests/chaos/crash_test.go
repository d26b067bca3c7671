package chaos

import (
	"fmt"
	"sync"
	"testing"
)

// An operator that dies at any of its writes, before or after it, is followed by one that brings the world to the same end
// as if nobody had died: after each step of a resource's history.
func TestKilledAtEachWriteItLeavesTheSameWorld(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		ends, writes := undisturbed(t, of)
		t.Logf("%d writes in a history of %d steps", writes, len(ends))
		for number := 1; number <= writes; number++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s write %d", when(after), number), func(t *testing.T) {
					t.Parallel()
					space := prepare(t)
					operator := newOperator(t, space, shortLease)
					died := operator.dies(number, after, call.reconciles)
					operator.run(t)
					// From where the world is as it would have been, it goes on as it would have.
					of.live(t, space, ends, died.Load)
					if !died.Load() {
						t.Errorf("there was no such write: %s", operator.proxy.said())
					}
				})
			}
		}
	})
}

// The same at the writes by which it comes to lead, and goes on to.
func TestKilledAtAWriteOfItsLeaseItIsFollowedByAnother(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		ends, _ := undisturbed(t, of)
		for number := 1; number <= 2; number++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s write %d", when(after), number), func(t *testing.T) {
					t.Parallel()
					space := prepare(t)
					operator := newOperator(t, space, shortLease)
					died := operator.dies(number, after, func(which call) bool { return which.writes() && which.leads() })
					operator.run(t)
					// A renewal comes by the clock.
					eventually(t, func() error {
						if !died.Load() {
							return fmt.Errorf("not killed yet")
						}
						return nil
					})
					of.live(t, space, ends, died.Load)
				})
			}
		}
	})
}

func when(after bool) string {
	if after {
		return "after"
	}
	return "before"
}

// undisturbed is how the world is after each step, and how many writes it took, where nothing happens to the operator. The
// first test that asks finds out for all.
func undisturbed(t *testing.T, of controller) (ends []world, writes int) {
	t.Helper()
	of.quiet.once.Do(func() {
		space := prepare(t)
		operator := newOperator(t, space, usualLease)
		operator.run(t)
		ends := of.live(t, space, nil, func() bool { return false })
		of.quiet.ends, of.quiet.writes = ends, operator.count(call.reconciles)
	})
	if of.quiet.ends == nil {
		t.Fatal("the undisturbed run failed; another test says how")
	}
	return of.quiet.ends, of.quiet.writes
}

// quiet is an undisturbed run.
type quiet struct {
	once   sync.Once
	ends   []world
	writes int
}

// live goes through the history until it has been enough, and waits after each step until the world is as it was before; or,
// the first time, until the operator is at rest.
func (of controller) live(t *testing.T, space string, ends []world, enough func() bool) (seen []world) {
	t.Helper()
	of.make(t, space)
	for number := 0; ; number++ {
		if ends != nil {
			becomes(t, of, space, ends[number])
		} else {
			eventually(t, func() error { return settled(of, space) })
			end, err := observe(of, space)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, end)
		}
		if enough() || number == len(of.history) {
			return seen
		}
		of.change(t, space, of.history[number].spec)
	}
}
