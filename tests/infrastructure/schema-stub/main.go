// Schema stub: a Terraform provider that is nothing but a schema.
//
// It reads `schema.json` beside its binary (the shape of `terraform providers schema -json`, see ../schemas) and keeps
// the promises that every provider makes to Terraform: it checks types, required attributes and listed values, plans
// computed attributes as unknown, fills them at apply with values that depend on nothing but the resource, and replaces
// what cannot be changed in place. It calls no API, so a green apply here says that the configuration fits the schema
// and that its graph resolves; it says nothing about a cloud.
package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

func main() {
	binary, err := os.Executable()
	check(err)
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(binary), "schema.json"))
	check(err)
	stub := &provider{}
	check(json.Unmarshal(raw, &stub.schema))
	check(tf6server.Serve("windlass.dev/tests/schema-stub", func() tfprotov6.ProviderServer { return stub }))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type schemaFile struct {
	Provider  resource            `json:"provider"`
	Resources map[string]resource `json:"resource_schemas"`
}

type resource struct {
	Version int64 `json:"version"`
	Block   block `json:"block"`
}

type block struct {
	Attributes map[string]attribute `json:"attributes"`
	Blocks     map[string]nested    `json:"block_types"`
}

type nested struct {
	Mode     string `json:"nesting_mode"`
	Min      int64  `json:"min_items"`
	Max      int64  `json:"max_items"`
	ForceNew bool   `json:"force_new"`
	Block    block  `json:"block"`
}

type attribute struct {
	Type      json.RawMessage `json:"type"`
	Required  bool            `json:"required"`
	Optional  bool            `json:"optional"`
	Computed  bool            `json:"computed"`
	Sensitive bool            `json:"sensitive"`
	ForceNew  bool            `json:"force_new"`
	Default   any             `json:"default"`
	OneOf     []string        `json:"one_of"`
	Keys      []string        `json:"keys"`
}

func (a attribute) valueType() tftypes.Type {
	//nolint:staticcheck // the only parser of the schema's own notation
	parsed, err := tftypes.ParseJSONType(a.Type)
	check(err)
	return parsed
}

func (b block) protocol() *tfprotov6.SchemaBlock {
	out := &tfprotov6.SchemaBlock{}
	for name, attribute := range b.Attributes {
		out.Attributes = append(out.Attributes, &tfprotov6.SchemaAttribute{
			Name: name, Type: attribute.valueType(), Required: attribute.Required, Optional: attribute.Optional,
			Computed: attribute.Computed || attribute.Default != nil, Sensitive: attribute.Sensitive,
		})
	}
	for name, nested := range b.Blocks {
		mode := tfprotov6.SchemaNestedBlockNestingModeList
		if nested.Mode == "set" {
			mode = tfprotov6.SchemaNestedBlockNestingModeSet
		}
		out.BlockTypes = append(out.BlockTypes, &tfprotov6.SchemaNestedBlock{
			TypeName: name, Block: nested.Block.protocol(), Nesting: mode, MinItems: nested.Min, MaxItems: nested.Max,
		})
	}
	return out
}

func (r resource) protocol() *tfprotov6.Schema {
	return &tfprotov6.Schema{Version: r.Version, Block: r.Block.protocol()}
}

// checkValues reports values outside an attribute's list, at any depth.
func (b block) checkValues(value tftypes.Value, path *tftypes.AttributePath) []*tfprotov6.Diagnostic {
	var found []*tfprotov6.Diagnostic
	fields := fieldsOf(value)
	for name, attribute := range b.Attributes {
		var text string
		given, ok := fields[name]
		if !ok || len(attribute.OneOf) == 0 || given.IsNull() || !given.IsKnown() || given.As(&text) != nil {
			continue
		}
		if !slices.Contains(attribute.OneOf, text) {
			found = append(found, &tfprotov6.Diagnostic{
				Severity: tfprotov6.DiagnosticSeverityError, Attribute: path.WithAttributeName(name),
				Summary: fmt.Sprintf("expected %s to be one of %q, got %q", name, attribute.OneOf, text),
			})
		}
	}
	for name, nested := range b.Blocks {
		for index, element := range elementsOf(fields[name]) {
			found = append(found, nested.Block.checkValues(element, path.WithAttributeName(name).WithElementKeyInt(index))...)
		}
	}
	return found
}

// planned is what a provider plans for a configuration: defaults, and unknown where the cloud would decide.
func (b block) planned(value tftypes.Value, create bool) tftypes.Value {
	fields := fieldsOf(value)
	if fields == nil {
		return value
	}
	for name, attribute := range b.Attributes {
		switch given := fields[name]; {
		case !given.IsNull():
		case attribute.Default != nil:
			fields[name] = constant(attribute.valueType(), attribute.Default)
		case attribute.Computed && create:
			fields[name] = attribute.unknown()
		}
	}
	for name, nested := range b.Blocks {
		elements := elementsOf(fields[name])
		for index := range elements {
			elements[index] = nested.Block.planned(elements[index], create)
		}
		if elements != nil {
			fields[name] = tftypes.NewValue(fields[name].Type(), elements)
		}
	}
	return tftypes.NewValue(value.Type(), fields)
}

// unknown is what the cloud will decide; of some maps the keys are known beforehand.
func (a attribute) unknown() tftypes.Value {
	if len(a.Keys) == 0 {
		return tftypes.NewValue(a.valueType(), tftypes.UnknownValue)
	}
	entries := map[string]tftypes.Value{}
	for _, key := range a.Keys {
		entries[key] = tftypes.NewValue(tftypes.String, tftypes.UnknownValue)
	}
	return tftypes.NewValue(a.valueType(), entries)
}

// replaced lists what differs and cannot be changed in place.
func (b block) replaced(before, after tftypes.Value) []*tftypes.AttributePath {
	var paths []*tftypes.AttributePath
	old, next := fieldsOf(before), fieldsOf(after)
	if old == nil || next == nil {
		return nil
	}
	add := func(name string, forceNew bool) {
		if forceNew && !old[name].Equal(next[name]) {
			paths = append(paths, tftypes.NewAttributePath().WithAttributeName(name))
		}
	}
	for name, attribute := range b.Attributes {
		add(name, attribute.ForceNew)
	}
	for name, nested := range b.Blocks {
		add(name, nested.ForceNew)
	}
	return paths
}

func constant(as tftypes.Type, value any) tftypes.Value {
	switch typed := value.(type) {
	case float64:
		return tftypes.NewValue(as, typed)
	case string:
		return tftypes.NewValue(as, typed)
	}
	return tftypes.NewValue(as, value)
}

// settled replaces what is unknown by values that depend only on the seed: two applies of one plan give one state.
func settled(value tftypes.Value, seed string) tftypes.Value {
	if !value.IsKnown() {
		return invented(value.Type(), seed)
	}
	if value.IsNull() {
		return value
	}
	if fields := fieldsOf(value); fields != nil {
		for name, field := range fields {
			fields[name] = settled(field, seed+"."+name)
		}
		return tftypes.NewValue(value.Type(), fields)
	}
	var entries map[string]tftypes.Value
	if value.Type().Is(tftypes.Map{}) && value.As(&entries) == nil {
		for key, entry := range entries {
			entries[key] = settled(entry, seed+"."+key)
		}
		return tftypes.NewValue(value.Type(), entries)
	}
	if elements := elementsOf(value); elements != nil {
		for index, element := range elements {
			elements[index] = settled(element, fmt.Sprint(seed, ".", index))
		}
		return tftypes.NewValue(value.Type(), elements)
	}
	return value
}

func invented(as tftypes.Type, seed string) tftypes.Value {
	switch typed := as.(type) {
	case tftypes.List:
		return tftypes.NewValue(as, []tftypes.Value{invented(typed.ElementType, seed)})
	case tftypes.Set:
		return tftypes.NewValue(as, []tftypes.Value{invented(typed.ElementType, seed)})
	case tftypes.Map:
		return tftypes.NewValue(as, map[string]tftypes.Value{})
	case tftypes.Object:
		fields := map[string]tftypes.Value{}
		for name, field := range typed.AttributeTypes {
			fields[name] = invented(field, seed+"."+name)
		}
		return tftypes.NewValue(as, fields)
	}
	digest := fnv.New32a()
	digest.Write([]byte(seed))
	switch {
	case as.Is(tftypes.Bool):
		return tftypes.NewValue(as, false)
	case as.Is(tftypes.Number):
		return tftypes.NewValue(as, int64(digest.Sum32()%1000))
	}
	return tftypes.NewValue(as, fmt.Sprintf("stub-%08x", digest.Sum32()))
}

func fieldsOf(value tftypes.Value) map[string]tftypes.Value {
	var fields map[string]tftypes.Value
	if value.IsNull() || !value.IsKnown() || !value.Type().Is(tftypes.Object{}) || value.As(&fields) != nil {
		return nil
	}
	return fields
}

func elementsOf(value tftypes.Value) []tftypes.Value {
	var elements []tftypes.Value
	if value.Type() == nil || value.IsNull() || !value.IsKnown() || value.As(&elements) != nil {
		return nil
	}
	return elements
}
