package policy

import (
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// A query is a parsed template of the few kinds of nodes that a query needs. None
// of them loops, and none makes text of text, so that a query takes the time and
// the memory that its length says.
type query struct {
	text     string
	template *template.Template
	reads    []queryField
}

// A queryField is a field that a template reads, and where.
type queryField struct {
	path []string
	at   parse.Pos
}

// parseQuery parses a template, and reports what is not allowed in a query.
func parseQuery(text string) (*query, Problems) {
	if len(text) > maxQuery {
		return nil, Problems{{Line: 1, Column: 1, Message: "the query is longer than 64 KiB"}}
	}
	t, err := template.New("query").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, Problems{syntaxProblem(err)}
	}
	q := &query{text: text, template: t}
	var problems Problems
	if t.Tree != nil {
		q.list(t.Root, &problems)
	}
	if len(t.Templates()) > 1 {
		problems = append(problems, Problem{Line: 1, Column: 1, Message: "define has no place in a query"})
	}
	return q, problems
}

// syntaxProblem is an error of the parser, which knows the line: "template:
// query:3: unclosed action".
func syntaxProblem(err error) Problem {
	p := Problem{Line: 1, Column: 1, Message: err.Error()}
	if rest, ok := strings.CutPrefix(p.Message, "template: query:"); ok {
		if _, err := fmt.Sscanf(rest, "%d:", &p.Line); err == nil {
			_, p.Message, _ = strings.Cut(rest, ": ")
		}
	}
	p.Message = shorten("the template is wrong: "+p.Message, maxMessage)
	return p
}

// problem is a mistake at a place of the text.
func (q *query) problem(at parse.Pos, format string, args ...any) Problem {
	before := q.text[:min(int(at), len(q.text))]
	line := strings.LastIndex(before, "\n") + 1
	return Problem{
		Line:    1 + strings.Count(before, "\n"),
		Column:  1 + len([]rune(before[line:])),
		Message: fmt.Sprintf(format, args...),
	}
}

// list checks the nodes of a list.
func (q *query) list(list *parse.ListNode, problems *Problems) {
	if list == nil {
		return
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.TextNode, *parse.CommentNode:
		case *parse.ActionNode:
			q.pipe(n.Pipe, problems)
		case *parse.IfNode:
			q.pipe(n.Pipe, problems)
			q.list(n.List, problems)
			q.list(n.ElseList, problems)
		default:
			*problems = append(*problems, q.refused(n))
		}
	}
}

// refused is the problem of a node that has no place in a query.
func (q *query) refused(n parse.Node) Problem {
	return q.problem(n.Position(), "%s has no place in a query: it can read fields, and choose with if", shorten(n.String(), maxText))
}

// pipe checks a pipeline.
func (q *query) pipe(p *parse.PipeNode, problems *Problems) {
	if len(p.Decl) > 0 {
		*problems = append(*problems, q.refused(p))
		return
	}
	for _, command := range p.Cmds {
		for i, arg := range command.Args {
			q.operand(arg, i == 0, problems)
		}
	}
}

// operand checks a function, where there can be one, or a value.
func (q *query) operand(n parse.Node, isFunction bool, problems *Problems) {
	switch n := n.(type) {
	case *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
		return
	case *parse.PipeNode:
		q.pipe(n, problems)
		return
	case *parse.FieldNode:
		q.reads = append(q.reads, queryField{n.Ident, q.begin(n.Pos, n.Ident)})
		return
	case *parse.VariableNode:
		if n.Ident[0] == "$" && len(n.Ident) > 1 {
			q.reads = append(q.reads, queryField{n.Ident[1:], n.Pos})
			return
		}
	case *parse.IdentifierNode:
		if isFunction && slices.Contains(queryFunctions(), n.Ident) {
			return
		}
	}
	*problems = append(*problems, q.refused(n))
}

// queryFunctions are the functions that make no text: others could make it grow
// beyond all bounds.
func queryFunctions() []string {
	return []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge"}
}

// begin is where a field begins, of which the parser gives the place of the second
// name where there are several.
func (q *query) begin(at parse.Pos, path []string) parse.Pos {
	first := "." + path[0]
	if begin := int(at) - len(first); len(path) > 1 && begin >= 0 && strings.HasPrefix(q.text[begin:], first) {
		return parse.Pos(begin)
	}
	return at
}

// fields reports the fields that are not known.
func (q *query) fields(known knownFields, problems *Problems) {
	for _, read := range q.reads {
		if message := known.unknown(read.path); message != "" {
			*problems = append(*problems, q.problem(read.at, "%s", message))
		}
	}
}

// unknown says what is wrong with a field, if anything is.
func (k knownFields) unknown(path []string) string {
	full := "." + strings.Join(path, ".")
	switch {
	case path[0] == "window" && !slices.Contains(k.names, "window"):
		return "only the queries of a ratio read .window"
	case !slices.Contains(k.names, path[0]):
		if near := didYouMean(path[0], k.names); near != "" {
			return fmt.Sprintf("no field `%s`%s", path[0], near)
		}
		return fmt.Sprintf("%s is not known: the fields are %s", full, strings.Join(slices.Sorted(slices.Values(k.names)), ", "))
	case path[0] != "params" && len(path) > 1:
		return fmt.Sprintf("%s is not known: .%s is a text", full, path[0])
	case path[0] == "params" && len(path) != 2:
		return "write .params.<name>"
	case path[0] == "params" && !slices.Contains(k.params, path[1]):
		return fmt.Sprintf("%s %s%s", full, k.unset, didYouMean(path[1], k.params))
	default:
		return ""
	}
}
