package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
)

// maxQuery is the most bytes of a query, before and after it is rendered.
const maxQuery = 64 << 10

// QueryData are what a query that is a template can read.
type QueryData struct {
	App, Environment, Namespace, Version, Commit string
	// Params are the texts that are set, or have a default; see Params.
	Params map[string]string
	// Window is what a ratio's queries read as .window, in the provider's notation.
	// Empty for other queries, which do not know it.
	Window string
}

// fields are the data by the names that a template reads.
func (d QueryData) fields() map[string]any {
	fields := map[string]any{
		"app": d.App, "environment": d.Environment, "namespace": d.Namespace,
		"version": d.Version, "commit": d.Commit, "params": d.Params,
	}
	if d.Window != "" {
		fields["window"] = d.Window
	}
	return fields
}

// RenderQuery fills a query in. It is a Go template
// (https://pkg.go.dev/text/template) if it holds "{{": one that reads .app,
// .environment, .namespace, .version, .commit, .params.<name>, and .window, may
// choose with if, and call and, or, not, eq, ne, lt, le, gt and ge. Any other text
// stays as it is. What has no value, a param that is neither set nor has a default,
// is an error, as is a query of more than 64 KiB.
func RenderQuery(text string, data QueryData) (string, error) {
	if !strings.Contains(text, "{{") {
		return text, nil
	}
	t, problems := parseQuery(text)
	if len(problems) == 0 {
		t.fields(data.known(), &problems)
	}
	if len(problems) > 0 {
		return "", fmt.Errorf("query:%d:%d: %s", problems[0].Line, problems[0].Column, problems[0].Message)
	}
	var out limitedBuilder
	if err := t.template.Execute(&out, data.fields()); err != nil {
		return "", fmt.Errorf("query: %w", err)
	}
	return out.String(), nil
}

// ReadsWindow says whether a query is a template that reads .window.
func ReadsWindow(text string) bool {
	if !strings.Contains(text, "{{") {
		return false
	}
	t, problems := parseQuery(text)
	return len(problems) == 0 && slices.ContainsFunc(t.reads, func(r queryField) bool { return r.path[0] == "window" })
}

// A limitedBuilder is a strings.Builder that refuses to grow beyond maxQuery.
type limitedBuilder struct{ strings.Builder }

// Write implements io.Writer.
func (b *limitedBuilder) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxQuery {
		return 0, errors.New("it is longer than 64 KiB")
	}
	return b.Builder.Write(p)
}

// knownFields are what a template may read.
type knownFields struct {
	names, params []string
	unset         string // what is said of a param that is none of them
}

// known are the fields of the data.
func (d QueryData) known() knownFields {
	k := knownFields{unset: "is neither set nor has a default: set it in the Lifecycle"}
	for name := range d.fields() {
		k.names = append(k.names, name)
	}
	for name := range d.Params {
		k.params = append(k.params, name)
	}
	return k
}

// checkQuery reports what is wrong with a query that is a template.
func (c *compiler) checkQuery(path, text string, window bool) {
	if !strings.Contains(text, "{{") {
		return
	}
	t, problems := parseQuery(text)
	if len(problems) == 0 {
		k := knownFields{
			names:  []string{"app", "environment", "namespace", "version", "commit", "params"},
			params: namesOf(c.spec.Params, func(p v1alpha1.Param) string { return p.Name }),
			unset:  "is not declared in spec.params",
		}
		if window {
			k.names = append(k.names, "window")
		}
		t.fields(k, &problems)
	}
	for _, p := range problems {
		p.Path = path
		c.problems = append(c.problems, p)
	}
}
