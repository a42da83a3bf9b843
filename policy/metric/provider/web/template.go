package web

import (
	"fmt"
	"strconv"
	"strings"
	texttemplate "text/template"
	"text/template/parse"

	"github.com/keptn/gitops/policy/metric"
)

// maxRendered is how large a path or a body may be, in bytes.
const maxRendered = 64 << 10

// A template is text with the fields .Query, .From and .To in it, and nothing else:
// without functions and loops it is as short as what it is made of.
type template struct {
	field  string
	parts  []parse.Node
	escape func(string) string
}

// parseTemplate reads the template in a field of the spec
// (https://pkg.go.dev/text/template). Each query goes through escape.
func parseTemplate(field, text string, escape func(string) string) (*template, error) {
	parsed, err := texttemplate.New(field).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", metric.ErrConfig, err)
	}
	t := &template{field: field, escape: escape}
	if parsed.Tree == nil { // it is empty
		return t, nil
	}
	for _, node := range parsed.Root.Nodes {
		if _, isText := node.(*parse.TextNode); !isText && fieldOf(node) == "" {
			return nil, fmt.Errorf("%w: its %s can hold {{.Query}}, {{.From}} and {{.To}}, and not %.80s", metric.ErrConfig, field, node)
		}
		t.parts = append(t.parts, node)
	}
	return t, nil
}

// fieldOf is the field that a node stands for, or "" where it is anything else.
func fieldOf(node parse.Node) string {
	action, ok := node.(*parse.ActionNode)
	if !ok || len(action.Pipe.Decl) > 0 || len(action.Pipe.Cmds) != 1 || len(action.Pipe.Cmds[0].Args) != 1 {
		return ""
	}
	switch name := action.Pipe.Cmds[0].Args[0].String(); name {
	case ".Query", ".From", ".To":
		return name
	default:
		return ""
	}
}

// render fills in a query.
func (t *template) render(q metric.Query) (string, error) {
	fields := map[string]string{
		".Query": t.escape(q.Expr),
		".From":  strconv.FormatInt(q.From().Unix(), 10),
		".To":    strconv.FormatInt(q.At.Unix(), 10),
	}
	var out strings.Builder
	for _, node := range t.parts {
		part := fields[fieldOf(node)]
		if text, ok := node.(*parse.TextNode); ok {
			part = string(text.Text)
		}
		if out.Len()+len(part) > maxRendered {
			return "", fmt.Errorf("%w: it makes %s longer than %d bytes", metric.ErrBadQuery, t.field, maxRendered)
		}
		out.WriteString(part)
	}
	return out.String(), nil
}
