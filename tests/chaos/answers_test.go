package chaos

import (
	"fmt"
	"net/http"
	"os"
	"testing"
)

// What an API server, or somebody between, may do to a request. Every one that is answered at all says that nothing was done,
// but for the cut: that was done, and whoever asked does not know.
var troubles = []struct {
	name string
	what func(http.Handler) http.HandlerFunc
}{
	{"conflict", answers(http.StatusConflict, "Conflict", 0)},
	{"cut", cuts},
	{"too many", answers(http.StatusTooManyRequests, "TooManyRequests", 1)},
	{"fault", answers(http.StatusInternalServerError, "InternalError", 0)},
	{"dropped", drops},
	{"unavailable", answers(http.StatusServiceUnavailable, "ServiceUnavailable", 0)},
}

// CI does one trouble to every other request, in turn; WINDLASS_CHAOS=all does each to all of them.
func troubled(number int) []int {
	var chosen []int
	for trouble := range troubles {
		if os.Getenv("WINDLASS_CHAOS") == "all" || number%2 == 0 && number/2%len(troubles) == trouble {
			chosen = append(chosen, trouble)
		}
	}
	return chosen
}

func TestRefusedOrCutOffAtEachWriteItComesToTheSameWorld(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		ends, writes := undisturbed(t, of)
		for number := 1; number <= writes; number++ {
			for _, trouble := range troubled(number) {
				t.Run(fmt.Sprintf("%s at write %d", troubles[trouble].name, number), func(t *testing.T) {
					t.Parallel()
					space := prepare(t)
					operator := newOperator(t, space, usualLease)
					what, done := once(number, call.reconciles, troubles[trouble].what)
					operator.do(what)
					operator.run(t)
					of.live(t, space, ends, done.Load)
					if !done.Load() || operator.started() > 1 {
						t.Errorf("trouble: %v, starts: %d", done.Load(), operator.started())
					}
				})
			}
		}
	})
}

// The same at the reads: the first two of each kind are by a watch and by a pass, in either order.
func TestRefusedOrCutOffAtItsReadsItComesToTheSameWorld(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		ends, _ := undisturbed(t, of)
		for number, kind := range append([]string{of.resource, "api/v1/secrets"}, of.makes...) {
			for _, trouble := range troubled(number) {
				t.Run(fmt.Sprintf("%s at %s", troubles[trouble].name, resourceOf(kind)), func(t *testing.T) {
					t.Parallel()
					space := prepare(t)
					operator := newOperator(t, space, usualLease)
					reads := func(which call) bool {
						return (which.verb == "get" || which.verb == "list") && which.resource == resourceOf(kind)
					}
					first, done := once(1, reads, troubles[trouble].what)
					second, _ := once(2, reads, troubles[trouble].what)
					operator.do(all(first, second))
					operator.run(t)
					of.live(t, space, ends, done.Load)
					if !done.Load() || operator.started() > 1 {
						t.Errorf("trouble: %v, starts: %d", done.Load(), operator.started())
					}
				})
			}
		}
	})
}
