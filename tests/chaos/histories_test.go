package chaos

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"maps"

	"windlass/tests/cluster/harness"
)

const (
	// Walks of a run of CI, and how far each goes. WINDLASS_CHAOS_WALKS says another number.
	usualWalks = 4
	steps      = 12
	// A step that the schema refuses is drawn anew; after so many there is something wrong with the drawing.
	drawsMost = 400
)

// Whatever happened to a resource on the way, what it says in the end decides how the world is: random walks over specs that
// the schema lets through, while somebody removes what was made, end where one that was written at once does.
//
// The seeds are the day's, and the names of the subtests; WINDLASS_CHAOS_SEED=N walks from N on.
func TestDifferentHistoriesOfOneSpecEndInOneWorld(t *testing.T) {
	seed := number("WINDLASS_CHAOS_SEED", int(time.Now().Unix()/86_400)*1_000)
	each(t, func(t *testing.T, of controller) {
		schema, samples := schemaOf(t, of), samplesOf(t, of)
		for walk := range number("WINDLASS_CHAOS_WALKS", usualWalks) {
			t.Run(fmt.Sprintf("seed %d", seed+walk), func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(uint64(seed+walk), 0))
				space := prepare(t)
				newOperator(t, space, usualLease).run(t)
				walked := of
				walked.first = maps.Clone(samples[random.IntN(len(samples))])
				walked.first["metadata"] = object{"name": name}
				walked.make(t, space)
				for range steps {
					walked.step(t, random, space, schema, samples)
				}
				// A world that is suspended is as it was when it came to be.
				walked.change(t, space, object{"suspend": false})
				end, err := server.get(within(space, of.resource) + "/" + name)
				if err != nil {
					t.Fatal(err)
				}
				direct := of
				direct.first = object{"apiVersion": end["apiVersion"], "kind": end["kind"], "metadata": object{"name": name}, "spec": end["spec"]}
				straight := prepare(t)
				newOperator(t, straight, usualLease).run(t)
				direct.make(t, straight)
				eventually(t, func() error { return settled(of, straight) })
				want, err := observe(of, straight)
				if err != nil {
					t.Fatal(err)
				}
				if len(want) == 1 {
					t.Fatalf("nothing was made: %s", want)
				}
				becomes(t, of, space, want)
			})
		}
	})
}

func number(variable string, usual int) int {
	if given, err := strconv.Atoi(os.Getenv(variable)); err == nil {
		return given
	}
	return usual
}

// step changes one field, or removes something that was made; then it waits until the operator is at rest, or does not.
func (of controller) step(t *testing.T, random *rand.Rand, space string, schema object, samples []object) {
	t.Helper()
	if random.IntN(5) == 0 {
		kind := of.makes[random.IntN(len(of.makes))]
		if made := items(t, space, kind); len(made) > 0 {
			lost := within(space, kind) + "/" + at(made[random.IntN(len(made))], "metadata", "name").(string)
			t.Logf("remove %s", lost)
			// The operator may have done it.
			_, _ = server.remove(lost)
		}
	}
	for range drawsMost {
		patch, drawn := draw(random, schema, samples, nil)
		if !drawn {
			continue
		}
		_, err := server.patch(within(space, of.resource)+"/"+name, object{"spec": patch})
		if refused := (refusal{}); errors.As(err, &refused) && refused.status == http.StatusUnprocessableEntity {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(patch)
		t.Logf("patch %s", text)
		if random.IntN(2) == 0 {
			eventually(t, func() error { return settled(of, space) })
		}
		return
	}
	t.Fatalf("%d changes were refused", drawsMost)
}

// draw is a merge patch of what the schema has at this path: a field somewhere below it is left out, or gets a value that its
// type allows or that a sample has there.
func draw(random *rand.Rand, schema object, samples []object, path []string) (any, bool) {
	if properties, _ := schema["properties"].(object); len(properties) > 0 && (len(path) == 0 || random.IntN(4) > 0) {
		fields := slices.Sorted(maps.Keys(properties))
		field := fields[random.IntN(len(fields))]
		inner, drawn := draw(random, properties[field].(object), samples, append(slices.Clone(path), field))
		return object{field: inner}, drawn
	}
	if random.IntN(4) == 0 {
		return nil, true
	}
	if choices, _ := schema["enum"].([]any); len(choices) > 0 {
		return choices[random.IntN(len(choices))], true
	}
	switch schema["type"] {
	case "boolean":
		return random.IntN(2) == 0, true
	case "integer":
		least, _ := schema["minimum"].(float64)
		most, bounded := schema["maximum"].(float64)
		if !bounded {
			most = least + 1_000
		}
		return int64(least) + random.Int64N(int64(most-least)+1), true
	}
	value := at(samples[random.IntN(len(samples))], append([]string{"spec"}, path...)...)
	return value, value != nil
}

// schemaOf is the schema of a resource's spec, as the API server has it.
func schemaOf(t *testing.T, of controller) object {
	t.Helper()
	found, err := server.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/" + resourceOf(of.resource) + ".windlass.dev")
	if err != nil {
		t.Fatal(err)
	}
	return at(at(found, "spec", "versions").([]any)[0], "schema", "openAPIV3Schema", "properties", "spec").(object)
}

// samplesOf reads the valid samples of a resource.
func samplesOf(t *testing.T, of controller) (samples []object) {
	t.Helper()
	output := harness.Kube(t, cluster, "create", "--dry-run=client", "--output=json", "-f", "../../operator/windlass-api/samples/valid")
	for decoder := json.NewDecoder(bytes.NewBufferString(output)); ; {
		var sample object
		err := decoder.Decode(&sample)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		all, listed := sample["items"].([]any)
		if !listed {
			all = []any{sample}
		}
		for _, one := range all {
			// A Redis of its own stays when the spec drops it, so what came before may be seen.
			if at(one, "kind") == of.name && at(one, "spec", "redis", "managed") == nil {
				samples = append(samples, one.(object))
			}
		}
	}
	if len(samples) == 0 {
		t.Fatalf("no samples of %s", of.name)
	}
	return samples
}
