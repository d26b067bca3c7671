// Prints the Alibaba Cloud provider's schema of the resources we use, in the shape of `terraform providers schema -json`,
// with four facts more that the stub acts on: force_new, default, one_of, and the keys of computed maps.
//
//	go run alicloud.go CHECKOUT/alicloud ../resources.json > ../alicloud.json
//
// It reads the provider's Go source without building it: the composite literals of each resource's schema, and the
// functions that return one. What is computed by other code (custom diffs, validation functions) it does not see.
package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
)

type object = map[string]any

var functions = map[string]*ast.FuncDecl{}
var registered = map[string]string{}

func main() {
	packages, err := parser.ParseDir(token.NewFileSet(), os.Args[1], func(info os.FileInfo) bool {
		return !strings.HasSuffix(info.Name(), "_test.go") && !strings.HasPrefix(info.Name(), "data_source")
	}, 0)
	check(err)
	for _, file := range packages["alicloud"].Files {
		for _, declared := range file.Decls {
			if function, ok := declared.(*ast.FuncDecl); ok && function.Recv == nil {
				functions[function.Name.Name] = function
			}
		}
	}
	ast.Inspect(functions["Provider"], func(node ast.Node) bool {
		if entry, ok := node.(*ast.KeyValueExpr); ok {
			if call, ok := entry.Value.(*ast.CallExpr); ok {
				if name, ok := call.Fun.(*ast.Ident); ok && strings.HasPrefix(name.Name, "resource") {
					registered[text(entry.Key)] = name.Name
				}
			}
		}
		return true
	})

	var wanted struct{ Alicloud []string }
	raw, err := os.ReadFile(os.Args[2])
	check(err)
	check(json.Unmarshal(raw, &wanted))
	resources := object{}
	for _, name := range wanted.Alicloud {
		block := blockOf(schemaOf(returned(registered[name])))
		block["attributes"].(object)["id"] = object{"type": "string", "optional": true, "computed": true}
		resources[name] = object{"version": 0, "block": block}
	}
	provider := object{"version": 0, "block": object{"attributes": object{
		"region": object{"type": "string", "optional": true}, "account_id": object{"type": "string", "optional": true},
	}}}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", " ")
	check(encoder.Encode(object{"provider": provider, "resource_schemas": resources}))
}

// returned is the literal that a function returns.
func returned(name string) *ast.CompositeLit {
	function := functions[name]
	if function == nil {
		panic("no function " + name)
	}
	var found *ast.CompositeLit
	ast.Inspect(function.Body, func(node ast.Node) bool {
		if statement, ok := node.(*ast.ReturnStmt); ok && len(statement.Results) == 1 && found == nil {
			found = literal(statement.Results[0])
		}
		return found == nil
	})
	if found == nil { // `resource := &schema.Resource{…}; return resource`
		ast.Inspect(function.Body, func(node ast.Node) bool {
			if assigned, ok := node.(*ast.AssignStmt); ok && found == nil {
				found = literal(assigned.Rhs[0])
			}
			return found == nil
		})
	}
	return found
}

func literal(expression ast.Expr) *ast.CompositeLit {
	switch value := expression.(type) {
	case *ast.CompositeLit:
		return value
	case *ast.UnaryExpr:
		return literal(value.X)
	case *ast.CallExpr:
		if name, ok := value.Fun.(*ast.Ident); ok && functions[name.Name] != nil {
			return returned(name.Name)
		}
	}
	return nil
}

func fields(of *ast.CompositeLit) map[string]ast.Expr {
	found := map[string]ast.Expr{}
	for _, element := range of.Elts {
		entry := element.(*ast.KeyValueExpr)
		if name, ok := entry.Key.(*ast.Ident); ok {
			found[name.Name] = entry.Value
		} else {
			found[text(entry.Key)] = entry.Value
		}
	}
	return found
}

func schemaOf(resource *ast.CompositeLit) *ast.CompositeLit {
	return literal(fields(resource)["Schema"])
}

func blockOf(schema *ast.CompositeLit) object {
	attributes, blocks := object{}, object{}
	for name, expression := range fields(schema) {
		declared := literal(expression)
		if declared == nil {
			panic("not understood: " + name)
		}
		facts := fields(declared)
		if facts["Removed"] != nil {
			continue
		}
		kind := facts["Type"].(*ast.SelectorExpr).Sel.Name
		element := literalOrNil(facts["Elem"])
		nested := element != nil && strings.HasSuffix(typeName(element), "Resource")
		attributeMode := facts["ConfigMode"] != nil
		computedOnly := yes(facts["Computed"]) && !yes(facts["Optional"]) && !yes(facts["Required"])
		if nested && !computedOnly && !attributeMode && kind != "TypeMap" {
			block := object{"nesting_mode": strings.ToLower(strings.TrimPrefix(kind, "Type")), "block": blockOf(schemaOf(element))}
			if limit := number(facts["MaxItems"]); limit > 0 {
				block["max_items"] = limit
			}
			if yes(facts["Required"]) {
				block["min_items"] = 1
			}
			if yes(facts["ForceNew"]) {
				block["force_new"] = true
			}
			if yes(facts["Computed"]) {
				block["computed"] = true
			}
			blocks[name] = block
			continue
		}
		attribute := object{"type": typeOf(kind, element, nested)}
		if nested && kind == "TypeMap" {
			// The old SDK makes a map of text of it, with the fields' names as keys.
			var keys []string
			for key := range fields(schemaOf(element)) {
				keys = append(keys, key)
			}
			slices.Sort(keys)
			attribute["type"], attribute["keys"] = []any{"map", "string"}, keys
		}
		for field, key := range map[string]string{
			"Required": "required", "Optional": "optional", "Computed": "computed", "ForceNew": "force_new", "Sensitive": "sensitive",
		} {
			if yes(facts[field]) {
				attribute[key] = true
			}
		}
		if facts["Deprecated"] != nil {
			attribute["deprecated"] = true
		}
		if value := constant(facts["Default"]); value != nil {
			attribute["default"] = value
		}
		if allowed := oneOf(facts["ValidateFunc"]); allowed != nil {
			attribute["one_of"] = allowed
		}
		attributes[name] = attribute
	}
	return object{"attributes": attributes, "block_types": blocks}
}

func literalOrNil(expression ast.Expr) *ast.CompositeLit {
	if expression == nil {
		return nil
	}
	return literal(expression)
}

func typeOf(kind string, element *ast.CompositeLit, nested bool) any {
	switch kind {
	case "TypeString":
		return "string"
	case "TypeInt", "TypeFloat":
		return "number"
	case "TypeBool":
		return "bool"
	}
	var inner any = "string"
	if nested {
		types := object{}
		for name, expression := range fields(schemaOf(element)) {
			facts := fields(literal(expression))
			deeper := literalOrNil(facts["Elem"])
			types[name] = typeOf(facts["Type"].(*ast.SelectorExpr).Sel.Name, deeper, deeper != nil && strings.HasSuffix(typeName(deeper), "Resource"))
		}
		inner = []any{"object", types}
	} else if element != nil {
		facts := fields(element)
		inner = typeOf(facts["Type"].(*ast.SelectorExpr).Sel.Name, literalOrNil(facts["Elem"]), false)
	}
	return []any{strings.ToLower(strings.TrimPrefix(kind, "Type")), inner}
}

func typeName(of *ast.CompositeLit) string {
	if selector, ok := of.Type.(*ast.SelectorExpr); ok {
		return selector.Sel.Name
	}
	return ""
}

// oneOf reads `StringInSlice([]string{"a", "b"}, false)`, whatever package's.
func oneOf(expression ast.Expr) []string {
	call, ok := expression.(*ast.CallExpr)
	if !ok || !strings.HasSuffix(fmt.Sprint(call.Fun), "StringInSlice") && !strings.Contains(fmt.Sprintf("%v", call.Fun), "StringInSlice") {
		return nil
	}
	values, ok := call.Args[0].(*ast.CompositeLit)
	if !ok || len(call.Args) != 2 || fmt.Sprint(call.Args[1]) != "false" {
		return nil
	}
	var allowed []string
	for _, element := range values.Elts {
		value, ok := constant(element).(string)
		if !ok {
			return nil
		}
		allowed = append(allowed, value)
	}
	return allowed
}

func constant(expression ast.Expr) any {
	switch value := expression.(type) {
	case *ast.BasicLit:
		if value.Kind == token.STRING {
			return text(value)
		}
		if value.Kind == token.INT {
			return number(value)
		}
	case *ast.Ident:
		if value.Name == "true" || value.Name == "false" {
			return value.Name == "true"
		}
	}
	return nil
}

func text(expression ast.Expr) string {
	if value, ok := expression.(*ast.BasicLit); ok && value.Kind == token.STRING {
		unquoted, err := strconv.Unquote(value.Value)
		check(err)
		return unquoted
	}
	return ""
}

func number(expression ast.Expr) int {
	if value, ok := expression.(*ast.BasicLit); ok {
		parsed, _ := strconv.Atoi(value.Value)
		return parsed
	}
	return 0
}

func yes(expression ast.Expr) bool {
	name, ok := expression.(*ast.Ident)
	return ok && name.Name == "true"
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
