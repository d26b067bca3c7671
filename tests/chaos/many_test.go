package chaos

import (
	"fmt"
	"maps"
	"os"
	"strconv"
	"testing"
	"time"
)

// Many resources at once, by one operator: they all come to be, and then nothing is written any more while each of them is
// looked at again. WINDLASS_CHAOS_MANY says how many; it prints what that costs.
func TestManyComeToRestAndAreNotWrittenAnyMore(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		many, err := strconv.Atoi(os.Getenv("WINDLASS_CHAOS_MANY"))
		if err != nil {
			many = 25
		}
		space := prepare(t)
		operator := newOperator(t, space, usualLease)
		operator.run(t)
		operator.watching(t, of)
		idle, began := operator.resident(t), time.Now()
		for number := range many {
			one := maps.Clone(of.first)
			one["metadata"] = object{"name": fmt.Sprintf("%s-%d", name, number)}
			create(t, within(space, of.resource), one)
		}
		written := time.Since(began)
		for came := false; !came; {
			// Each wait is as long as one of a test with a single resource; it goes on as long as more of them come to rest.
			resting := restingOf(t, of, space)
			eventually(t, func() error {
				now := restingOf(t, of, space)
				if came = now == many; came || now > resting {
					return nil
				}
				return fmt.Errorf("%d of %d are at rest", now, many)
			})
		}
		passes := measured(t, operator, "passes")
		t.Logf("%d of %s written in %.1f s and at rest after %.1f s: %d passes, %d reads and %d writes, %.1f requests a pass; %d MiB resident, %d before",
			many, of.name, written.Seconds(), time.Since(began).Seconds(), passes, operator.count(reads), operator.count(call.reconciles),
			float64(operator.count(reads)+operator.count(call.reconciles))/float64(passes), operator.resident(t), idle)

		wrote, read := operator.count(call.reconciles), operator.count(reads)
		// Each is looked at again within a minute.
		for end := time.Now().Add(time.Minute); time.Now().Before(end) || measured(t, operator, "passes")-passes < many; time.Sleep(look) {
			if now := operator.count(call.reconciles); now != wrote {
				t.Fatalf("%d writes to a world that is as it should be", now-wrote)
			}
		}
		again := measured(t, operator, "passes") - passes
		t.Logf("in the minute after that: %d passes, %.1f requests each, no write; %d MiB resident", again,
			float64(operator.count(reads)-read)/float64(again), operator.resident(t))
	})
}

// Reads of passes and of watches' lists.
func reads(which call) bool { return (which.verb == "get" || which.verb == "list") && !which.leads() }

func measured(t *testing.T, operator *operator, name string) int {
	t.Helper()
	count, err := operator.metric(name)
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// restingOf counts the resources whose newest version there is nothing to do for.
func restingOf(t *testing.T, of controller, space string) int {
	t.Helper()
	count := 0
	for _, found := range items(t, space, of.resource) {
		if rests(of, found) == nil {
			count++
		}
	}
	return count
}
