package chaos

import (
	"errors"
	"fmt"
	"maps"
	"testing"
)

// What is referred to and not there is said once, and waited for: the process lives, and writes nothing more. What is made
// then is what would have been made at once.
func TestAReferenceThatLeadsNowhereIsSaidAndWaitedFor(t *testing.T) {
	each(t, func(t *testing.T, of controller) {
		broken := controller(of)
		broken.first = maps.Clone(of.first)
		broken.first["spec"] = merged(of.first["spec"].(object), of.refersTo("later"))
		prompt := prepare(t)
		later(t, prompt)
		newOperator(t, prompt, usualLease).run(t)
		broken.make(t, prompt)

		space := prepare(t)
		operator := newOperator(t, space, usualLease)
		operator.run(t)
		broken.make(t, space)
		eventually(t, func() error {
			found, err := server.get(within(space, of.resource) + "/" + name)
			if err != nil {
				return err
			}
			if reason := reasonOf(found, "Degraded"); reason != "SecretMissing" {
				return fmt.Errorf("Degraded: %q", reason)
			}
			return nil
		})
		told := func() int {
			count := 0
			for _, event := range items(t, space, "apis/events.k8s.io/v1/events") {
				if at(event, "reason") == "SecretMissing" {
					count++
				}
			}
			return count
		}
		eventually(t, func() error {
			if told() == 0 {
				return errors.New("no event")
			}
			return nil
		})
		wrote := operator.count(call.reconciles)
		if err := stays(func() error {
			if now := operator.count(call.reconciles); now != wrote || operator.started() > 1 || told() != 1 {
				return fmt.Errorf("%d writes more, %d starts, %d events", now-wrote, operator.started(), told())
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		for _, kind := range of.makes {
			if made := items(t, space, kind); len(made) > 0 {
				t.Errorf("made by halves: %d %s", len(made), kind)
			}
		}
		later(t, space)
		eventually(t, func() error { return settled(of, prompt) })
		want, err := observe(of, prompt)
		if err != nil {
			t.Fatal(err)
		}
		becomes(t, of, space, want)
	})
}

// later makes the Secret that a broken reference speaks of.
func later(t *testing.T, space string) {
	t.Helper()
	create(t, within(space, "api/v1/secrets"), object{"metadata": object{"name": "later"}, "stringData": object{"secret": "made in the end"}})
}

// merged is an object after a merge patch.
func merged(into, patch object) object {
	result := maps.Clone(into)
	for field, value := range patch {
		inner, both := result[field].(object)
		if change, is := value.(object); is && both {
			result[field] = merged(inner, change)
		} else if value == nil {
			delete(result, field)
		} else {
			result[field] = value
		}
	}
	return result
}
