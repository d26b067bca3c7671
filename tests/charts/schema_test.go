package charts

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/tests/cluster/harness"
)

// Set to anything, it makes tests write what they would compare: golden renders, and the part of a schema that is derived.
const update = "WINDLASS_UPDATE"

func TestTheValuesOfAPlatformAreCheckedByTheDefinitionItself(t *testing.T) {
	const file = platform + "/values.schema.json"
	var schema map[string]any
	if err := json.Unmarshal([]byte(read(t, file)), &schema); err != nil {
		t.Fatal(err)
	}
	platform := schema["properties"].(map[string]any)["platform"].(map[string]any)["properties"].(map[string]any)
	components := served(t, "/openapi/v3/apis/windlass.dev/v1alpha1")
	defined := components["dev.windlass.v1alpha1.Platform"].(map[string]any)["properties"].(map[string]any)["spec"]
	spec := plainSchema(defined).(map[string]any)
	spec["type"] = []any{"object", "null"}
	platform["spec"] = spec
	want, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	compare(t, file, string(want)+"\n")
}

// served is the schemas that the API server publishes at a path, by their names.
func served(t *testing.T, path string) map[string]any {
	t.Helper()
	var document struct {
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(harness.Kube(t, cluster, "get", "--raw", path)), &document); err != nil {
		t.Fatal(err)
	}
	return document.Components.Schemas
}

// plainSchema says in plain JSON Schema what a schema of the API server's says, without its texts, and with one thing more: no
// object has a field that is not named, as strict validation has it.
func plainSchema(node any) any {
	switch node := node.(type) {
	case []any:
		var list []any
		for _, entry := range node {
			list = append(list, plainSchema(entry))
		}
		return list
	case map[string]any:
		return plainObject(node)
	default:
		return node
	}
}

func plainObject(node map[string]any) map[string]any {
	plain := map[string]any{}
	for key, value := range node {
		switch {
		case key == "properties":
			properties := map[string]any{}
			for name, property := range value.(map[string]any) {
				properties[name] = plainSchema(property)
			}
			plain[key] = properties
		case key == "description" || key == "default" || key == "format" || key == "title" || key == "nullable" || strings.HasPrefix(key, "x-"):
		default:
			plain[key] = plainSchema(value)
		}
	}
	if node["x-kubernetes-int-or-string"] == true {
		plain["type"] = []any{"integer", "string"}
	}
	if kind, one := plain["type"].(string); one && node["nullable"] == true {
		plain["type"] = []any{kind, "null"}
		if values, enumerated := plain["enum"].([]any); enumerated {
			plain["enum"] = append(values, nil)
		}
	}
	_, named := node["properties"]
	_, others := node["additionalProperties"]
	if named && !others && node["x-kubernetes-preserve-unknown-fields"] != true {
		plain["additionalProperties"] = false
	}
	return plain
}

// writeSchemas makes, for each kind that is served at the paths, a file that kubeconform reads: KIND-VERSION.json, with the
// group before the version if there is one.
func writeSchemas(t *testing.T, folder string, paths ...string) {
	t.Helper()
	for _, path := range paths {
		schemas := served(t, path)
		plain := map[string]any{}
		for name, schema := range schemas {
			plain[name] = plainSchema(schema)
		}
		for name, schema := range schemas {
			kinds, _ := schema.(map[string]any)["x-kubernetes-group-version-kind"].([]any)
			// What is of several kinds, as options of a deletion, is no object.
			if len(kinds) != 1 {
				continue
			}
			document := maps.Clone(plain[name].(map[string]any))
			document["components"] = map[string]any{"schemas": plain}
			content, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			kind := kinds[0].(map[string]any)
			words := []string{strings.ToLower(kind["kind"].(string)), kind["version"].(string)}
			if group := kind["group"].(string); group != "" {
				words = []string{words[0], strings.Split(group, ".")[0], words[1]}
			}
			if err := os.WriteFile(filepath.Join(folder, strings.Join(words, "-")+".json"), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// compare fails if a committed file is not as it is made now.
func compare(t *testing.T, file, want string) {
	t.Helper()
	if os.Getenv(update) != "" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if read(t, file) != want {
		t.Errorf("%s is not what is made now; run the stage `charts` with %s=1 and look at the difference", file, update)
	}
}
