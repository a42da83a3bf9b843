package convert

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// maxQuery is the longest query that a template can hold, in bytes.
const maxQuery = 64 << 10

// SLI converts a Keptn v1 SLI file (https://v1.keptn.sh/docs/1.0.x/reference/files/sli/):
// each indicator becomes an AnalysisValueTemplate that asks the given provider.
// They are sorted by name. A provider without a namespace is one in that of the
// AnalysisDefinition.
//
// A placeholder as $DURATION_SECONDS becomes {{.duration_seconds}}: an Analysis gives
// its value in spec.args. Notes tell what else begins with a dollar and a letter, as
// $handler and $LABEL.buildId, and is left as it is.
func SLI(data []byte, provider metricsv1.ObjectReference) ([]metricsv1.AnalysisValueTemplate, []string, error) {
	if err := checkReference("provider", provider); err != nil {
		return nil, nil, err
	}
	var file struct {
		Indicators map[string]string `json:"indicators"`
	}
	if err := read(data, &file); err != nil {
		return nil, nil, fmt.Errorf("read SLI file: %w", err)
	}
	if len(file.Indicators) == 0 {
		return nil, nil, fmt.Errorf("read SLI file: it has no indicators: %w", errEmpty)
	}
	indicators := map[string]string{} // by the name of their template
	var notes []string
	templates := make([]metricsv1.AnalysisValueTemplate, 0, len(file.Indicators))
	for _, indicator := range slices.Sorted(maps.Keys(file.Indicators)) {
		t, err := valueTemplate(indicator, file.Indicators[indicator], provider)
		if err != nil {
			return nil, nil, fmt.Errorf("indicator %q: %w", indicator, err)
		}
		if other, taken := indicators[t.Name]; taken {
			return nil, nil, fmt.Errorf("indicators %q and %q are both called %s in Kubernetes: rename one", other, indicator, t.Name)
		}
		indicators[t.Name] = indicator
		templates = append(templates, t)
		for _, text := range left(t.Spec.Query) {
			notes = append(notes, fmt.Sprintf("indicator %q: %s is left as it is", indicator, text))
		}
	}
	slices.SortFunc(templates, func(a, b metricsv1.AnalysisValueTemplate) int { return strings.Compare(a.Name, b.Name) })
	return templates, notes, nil
}

func valueTemplate(indicator, query string, provider metricsv1.ObjectReference) (metricsv1.AnalysisValueTemplate, error) {
	name, err := resourceName(indicator)
	if err != nil {
		return metricsv1.AnalysisValueTemplate{}, err
	}
	query = placeholders(query)
	if query == "" || len(query) > maxQuery {
		return metricsv1.AnalysisValueTemplate{}, fmt.Errorf("its query has %d bytes: it has to have 1 to %d", len(query), maxQuery)
	}
	return metricsv1.AnalysisValueTemplate{
		TypeMeta:   metav1.TypeMeta{APIVersion: metricsv1.GroupVersion.String(), Kind: "AnalysisValueTemplate"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       metricsv1.AnalysisValueTemplateSpec{Provider: provider, Query: query},
	}, nil
}

// placeholder is a name in capitals, after any braces that would run into those
// of a template; braces on their own are a template's from two on.
var placeholder = regexp.MustCompile(`(\{*)\$\b([A-Z][A-Z0-9_]*)\b|(\{{2,})`)

// ofLabel is what comes after $LABEL where it is a label of Keptn v1, as
// $LABEL.buildId, which an Analysis has none of.
var ofLabel = regexp.MustCompile(`^[.]\w`)

var dollar = regexp.MustCompile(`\$(?:[A-Za-z_]\w*(?:[.]\w+)*|\{[A-Za-z_][^{}]*\})`)

// left is what begins with a dollar in a template, each once.
func left(template string) []string {
	found := dollar.FindAllString(template, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// placeholders makes a template of a query. What would be read as a template's
// action is escaped.
func placeholders(query string) string {
	var b strings.Builder
	end := 0
	for _, at := range placeholder.FindAllStringSubmatchIndex(query, -1) {
		b.WriteString(query[end:at[0]])
		end = at[1]
		braces, name := query[at[0]:at[1]], ""
		if at[4] >= 0 {
			braces, name = query[at[2]:at[3]], query[at[4]:at[5]]
		}
		if name == "LABEL" && ofLabel.MatchString(query[end:]) {
			b.WriteString(placeholders(braces) + "$" + name)
			continue
		}
		if braces != "" {
			fmt.Fprintf(&b, "{{%q}}", braces)
		}
		if name != "" {
			fmt.Fprintf(&b, "{{.%s}}", strings.ToLower(name))
		}
	}
	b.WriteString(query[end:])
	return b.String()
}
