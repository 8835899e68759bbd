// Holds bodies against schemas with santhosh-tekuri/jsonschema, whose patterns are RE2's.
// scripts/validators.py says what it reads and writes.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

type work struct {
	Schemas map[string]string
	Bodies  []struct{ Schema, Body string }
}

type result struct {
	Errors   map[string]string `json:"errors"`
	Verdicts []*bool           `json:"verdicts"`
}

func compile(name, text string) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(name, document); err != nil {
		return nil, err
	}
	return compiler.Compile(name)
}

func main() {
	var todo work
	if err := json.NewDecoder(os.Stdin).Decode(&todo); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	done := result{Errors: map[string]string{}}
	compiled := map[string]*jsonschema.Schema{}
	for name, text := range todo.Schemas {
		schema, err := compile(name, text)
		if err != nil {
			done.Errors[name] = err.Error()
			continue
		}
		compiled[name] = schema
	}
	for _, each := range todo.Bodies {
		var verdict *bool
		if schema := compiled[each.Schema]; schema != nil {
			body, err := jsonschema.UnmarshalJSON(strings.NewReader(each.Body))
			valid := err == nil && schema.Validate(body) == nil
			verdict = &valid
		}
		done.Verdicts = append(done.Verdicts, verdict)
	}
	if err := json.NewEncoder(os.Stdout).Encode(done); err != nil {
		os.Exit(1)
	}
}
