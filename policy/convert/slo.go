package convert

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// sloFile is Keptn v1's SLO file. What is not listed here means nothing without
// the results of earlier evaluations, or is for people only.
type sloFile struct {
	Comparison any            `json:"comparison"`
	Filter     any            `json:"filter"`
	Objectives []sloObjective `json:"objectives"`
	TotalScore struct {
		Pass    text `json:"pass"`
		Warning text `json:"warning"`
	} `json:"total_score"`
}

type sloObjective struct {
	SLI     string        `json:"sli"`
	KeySLI  bool          `json:"key_sli"`
	Weight  *int64        `json:"weight"`
	Pass    []alternative `json:"pass"`
	Warning []alternative `json:"warning"`
}

// An alternative holds if all of its criteria do.
type alternative struct {
	Criteria []string `json:"criteria"`
}

// text is a string that may be written as a number.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		s = string(data)
	}
	*t = text(s)
	return nil
}

// SLO converts a Keptn v1 SLO file (https://v1.keptn.sh/docs/1.0.x/reference/files/slo/)
// to the AnalysisDefinition of the given name. Its objectives refer to the
// AnalysisValueTemplates that SLI makes, in the given namespace or, if that is
// empty, in that of the definition.
//
// Notes tell what an AnalysisDefinition cannot express and was left out: comparison
// and filter, and then in the order of the objectives criteria relative to earlier
// results, criteria after the second, criteria that cannot be read, and combinations
// that are no range. An objective of which nothing is left is informative: it has no
// target.
func SLO(data []byte, name, templateNamespace string) (*metricsv1.AnalysisDefinition, []string, error) {
	if err := checkReference("definition", metricsv1.ObjectReference{Name: name, Namespace: templateNamespace}); err != nil {
		return nil, nil, err
	}
	var file sloFile
	if err := read(data, &file); err != nil {
		return nil, nil, fmt.Errorf("read SLO file: %w", err)
	}
	if len(file.Objectives) == 0 {
		return nil, nil, fmt.Errorf("read SLO file: it has no objectives: %w", errEmpty)
	}
	score, err := totalScore(&file)
	if err != nil {
		return nil, nil, err
	}
	definition := &metricsv1.AnalysisDefinition{
		TypeMeta:   metav1.TypeMeta{APIVersion: metricsv1.GroupVersion.String(), Kind: "AnalysisDefinition"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       metricsv1.AnalysisDefinitionSpec{TotalScore: score},
	}
	notes := file.leftOut()
	for i := range file.Objectives {
		o, told, err := objective(&file.Objectives[i], templateNamespace)
		if err != nil {
			return nil, nil, fmt.Errorf("objectives[%d] %q: %w", i, file.Objectives[i].SLI, err)
		}
		for _, note := range told {
			notes = append(notes, fmt.Sprintf("objectives[%d] %q: %s", i, file.Objectives[i].SLI, note))
		}
		definition.Spec.Objectives = append(definition.Spec.Objectives, o)
	}
	return definition, notes, nil
}

// leftOut tells which parts of the file as a whole are left out.
func (f *sloFile) leftOut() []string {
	var notes []string
	if f.Comparison != nil {
		notes = append(notes, "comparison is left out: an Analysis compares with no earlier result")
	}
	if f.Filter != nil {
		notes = append(notes, "filter is left out: write it into the queries of the AnalysisValueTemplates")
	}
	return notes
}

func totalScore(file *sloFile) (metricsv1.TotalScore, error) {
	pass, err := percentage(file.TotalScore.Pass)
	if err != nil {
		return metricsv1.TotalScore{}, fmt.Errorf("total_score.pass: %w", err)
	}
	warning, err := percentage(file.TotalScore.Warning)
	if err != nil {
		return metricsv1.TotalScore{}, fmt.Errorf("total_score.warning: %w", err)
	}
	if warning >= pass {
		return metricsv1.TotalScore{}, fmt.Errorf("total_score.warning is %d%%, total_score.pass %d%%: warning has to be the lower one", warning, pass)
	}
	return metricsv1.TotalScore{PassPercentage: pass, WarningPercentage: warning}, nil
}

// percentage reads "90%", rounded to a whole number.
func percentage(t text) (int, error) {
	n, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(string(t)), "%")), 64)
	if err != nil || !(n >= 0 && n <= 100) {
		return 0, fmt.Errorf("%q is no percentage: write it as 90%%", string(t))
	}
	return int(math.Round(n)), nil
}

func objective(o *sloObjective, namespace string) (metricsv1.Objective, []string, error) {
	name, err := resourceName(o.SLI)
	if err != nil {
		return metricsv1.Objective{}, nil, fmt.Errorf("sli: %w", err)
	}
	if o.Weight != nil && (*o.Weight < 0 || *o.Weight > 1_000_000) {
		return metricsv1.Objective{}, nil, fmt.Errorf("weight is %d: it has to be 0 to 1000000", *o.Weight)
	}
	target, notes := target(o)
	return metricsv1.Objective{
		AnalysisValueTemplateRef: metricsv1.ObjectReference{Name: name, Namespace: namespace},
		Target:                   target,
		Weight:                   o.Weight,
		KeyObjective:             o.KeySLI,
	}, notes, nil
}
