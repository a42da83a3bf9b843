package analysis

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
)

// Limits of a query.
const (
	// MaxQuery is the size in bytes that a template, and the query that it
	// renders to, may have.
	MaxQuery = 64 << 10
	// MaxArgs is how many args there may be.
	MaxArgs = 256
)

// Render fills the placeholders of an AnalysisValueTemplate's query. They are a
// Go template (https://pkg.go.dev/text/template) over args: {{.name}}, and for a
// name that is no identifier {{index . "some-name"}}.
//
// An arg that is missing is an error that names it, never an empty text. The
// template can reach nothing but its args, and ends after a time that its size
// bounds: it cannot call templates, and can range over the args only.
func Render(query string, args map[string]string) (string, error) {
	if len(query) > MaxQuery || len(args) > MaxArgs {
		return "", fmt.Errorf("render query: it has %d bytes and %d args: at most %d and %d are allowed", len(query), len(args), MaxQuery, MaxArgs)
	}
	if args == nil {
		args = map[string]string{}
	}
	t, err := template.New("query").Option("missingkey=error").Funcs(functions).Parse(query)
	if err != nil {
		return "", explain(err)
	}
	for _, part := range t.Templates() {
		if part.Name() != "query" {
			return "", fmt.Errorf("render query: template %q is defined in it: write the query as one template", part.Name())
		}
	}
	if t.Tree == nil { // an empty query
		return "", nil
	}
	if err := bounded(t.Root, false); err != nil {
		return "", fmt.Errorf("render query: %w", err)
	}
	var out limited
	if err := t.Execute(&out, args); err != nil {
		return "", explain(err)
	}
	return out.String(), nil
}

// explain adds what to do to the errors that authors make most.
func explain(err error) error {
	hint := ""
	switch text := err.Error(); {
	case strings.Contains(text, "map has no entry for key"), errors.Is(err, errNoArg):
		hint = ": give it in spec.args of the Analysis"
	case strings.Contains(text, "bad character U+002D"):
		hint = `: read an arg with '-' in its name as {{index . "some-name"}}`
	}
	return fmt.Errorf("render query: %w%s", err, hint)
}

// bounded refuses what could run for longer than the template is long. rebound
// says that the dot is no longer the args.
func bounded(node parse.Node, rebound bool) error {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		for _, child := range n.Nodes {
			if err := bounded(child, rebound); err != nil {
				return err
			}
		}
	case *parse.IfNode:
		return errors.Join(bounded(n.List, rebound), bounded(n.ElseList, rebound))
	case *parse.WithNode:
		return errors.Join(bounded(n.List, true), bounded(n.ElseList, true))
	case *parse.RangeNode:
		if rebound || !isDot(n.Pipe) {
			return fmt.Errorf("%s: range over anything but the args: write {{range $name, $value := .}}, and not within another range or with", n)
		}
		return errors.Join(bounded(n.List, true), bounded(n.ElseList, true))
	case *parse.TemplateNode:
		return fmt.Errorf("%s: a query cannot call a template", n)
	}
	return nil
}

func isDot(pipe *parse.PipeNode) bool {
	if len(pipe.Cmds) != 1 || len(pipe.Cmds[0].Args) != 1 {
		return false
	}
	_, dot := pipe.Cmds[0].Args[0].(*parse.DotNode)
	return dot
}

// limited is a text of at most MaxQuery bytes.
type limited struct{ strings.Builder }

// Write adds to the text.
func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > MaxQuery {
		return 0, fmt.Errorf("the query is longer than %d bytes", MaxQuery)
	}
	return l.Builder.Write(p)
}
