package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is all that an operator answers for in one namespace, without what time and chance decide: a text an object.
type world map[string]string

// observe reads a namespace.
func observe(of controller, space string) (world, error) {
	seen := world{}
	for _, kind := range append([]string{of.resource}, of.makes...) {
		path := within(space, kind)
		listed, err := server.get(path)
		if err != nil {
			return nil, err
		}
		items, _ := listed["items"].([]any)
		for _, item := range items {
			found := item.(object)
			name, _ := at(found, "metadata", "name").(string)
			seen[kind+" "+name] = normal(found, space)
		}
	}
	return seen, nil
}

// within is the path of a kind in a namespace: `api/v1/services` is at /api/v1/namespaces/SPACE/services.
func within(space, kind string) string {
	cut := strings.LastIndex(kind, "/")
	return "/" + kind[:cut] + "/namespaces/" + space + kind[cut:]
}

// normal is an object's text without what differs between two worlds that are the same: names of versions and of the
// namespace, times, addresses that were drawn, and how often something was written. Which of its fields are the
// operator's stays.
func normal(found object, space string) string {
	metadata := found["metadata"].(object)
	uids := []string{metadata["uid"].(string)}
	owners, _ := metadata["ownerReferences"].([]any)
	for _, owner := range owners {
		uids = append(uids, owner.(object)["uid"].(string))
	}
	var fields []string
	managers, _ := metadata["managedFields"].([]any)
	for _, entry := range managers {
		if manager := entry.(object); manager["manager"] == manages {
			delete(manager, "time")
			text, _ := json.Marshal(manager)
			fields = append(fields, string(text))
		}
	}
	slices.Sort(fields)
	metadata["managedFields"] = fields
	for _, name := range []string{"uid", "resourceVersion", "creationTimestamp", "generation"} {
		delete(metadata, name)
	}
	annotations, _ := metadata["annotations"].(object)
	// Of the owner's uid too; and who led when it was written.
	delete(annotations, "windlass.dev/digest")
	delete(annotations, "windlass.dev/term")
	if status, is := found["status"].(object); is {
		delete(status, "observedGeneration")
		conditions, _ := status["conditions"].([]any)
		for _, condition := range conditions {
			delete(condition.(object), "observedGeneration")
			delete(condition.(object), "lastTransitionTime")
		}
	}
	if spec, is := found["spec"].(object); is {
		delete(spec, "clusterIP")
		delete(spec, "clusterIPs")
	}
	text, _ := json.MarshalIndent(found, "", " ")
	replaced := strings.ReplaceAll(string(text), space, "SPACE")
	for _, uid := range uids {
		replaced = strings.ReplaceAll(replaced, uid, "UID")
	}
	return replaced
}

// Whose fields and objects are the operator's.
const manages = "windlass-operator"

// difference says what differs, at most a few lines an object; nil if nothing does.
func difference(want, got world) error {
	var found []string
	for name, text := range want {
		if got[name] == "" {
			found = append(found, "missing: "+name)
		} else if got[name] != text {
			found = append(found, name+": "+firstLines(text, got[name]))
		}
	}
	for name := range got {
		if want[name] == "" {
			found = append(found, "too much: "+name)
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.Sort(found)
	return fmt.Errorf("another world than wanted:\n%s", strings.Join(found, "\n"))
}

// firstLines is where two texts begin to differ.
func firstLines(want, got string) string {
	wanted, found := strings.Split(want, "\n"), strings.Split(got, "\n")
	for number, line := range wanted {
		if number >= len(found) || found[number] != line {
			return fmt.Sprintf("wanted %.300q, got %.300q", wanted[number:min(number+3, len(wanted))], found[min(number, len(found)):min(number+3, len(found))])
		}
	}
	return fmt.Sprintf("got more: %.300q", found[len(wanted):])
}

// settled waits until the operator has nothing more to do for the newest version of a resource, and says so in its status.
func settled(of controller, space string) error {
	found, err := server.get(within(space, of.resource) + "/" + name)
	if err != nil {
		return err
	}
	return rests(of, found)
}

// rests fails with what is still to do, or not yet said.
func rests(of controller, found any) error {
	if newest, observed := at(found, "metadata", "generation"), at(found, "status", "observedGeneration"); newest != observed {
		return fmt.Errorf("version %v, observed is %v", newest, observed)
	}
	if reason := reasonOf(found, "Progressing"); !slices.Contains(of.rests, reason) {
		return fmt.Errorf("Progressing: %q", reason)
	}
	return nil
}

// reasonOf is the reason of a condition.
func reasonOf(found any, condition string) string {
	conditions, _ := at(found, "status", "conditions").([]any)
	for _, entry := range conditions {
		if at(entry, "type") == condition {
			reason, _ := at(entry, "reason").(string)
			return reason
		}
	}
	return ""
}

const (
	// Two intervals in which an operator looks at everything again, with a lease's end, on a machine that is busy with all
	// tests at once.
	limit = 3 * time.Minute
	// Between two looks. Each may read nine kinds, and a dozen tests look.
	look = 250 * time.Millisecond
)

// eventually waits for what comes true by itself, and says what it saw last if it does not.
func eventually(t *testing.T, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", limit, err)
		}
		time.Sleep(look)
	}
}

// becomes waits until a namespace is as another was, and the operator at rest.
func becomes(t *testing.T, of controller, space string, want world) {
	t.Helper()
	eventually(t, func() error {
		if err := settled(of, space); err != nil {
			return err
		}
		got, err := observe(of, space)
		if err != nil {
			return err
		}
		return difference(want, got)
	})
}
