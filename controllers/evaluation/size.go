package evaluation

import (
	"encoding/json"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers/condition"
)

const (
	// maxObject is how large a record may be as JSON, in bytes: etcd takes 1.5 MiB
	// (https://etcd.io/docs/v3.5/dev-guide/limit/), and the API server adds to it.
	maxObject = 5 << 18
	// maxShortened is how much is left of a text that is shortened, in bytes.
	maxShortened = 100
	// maxMeasurements is how many measurements are left where there are too many:
	// those of metrics and their baseline, which are the first.
	maxMeasurements = 128
)

// fit takes away what a record can do without where it would be refused, the least
// of it first. The verdict, and why, stay.
func fit(e *lifecyclev1.KeptnEvaluation) {
	for _, take := range []func(*lifecyclev1.KeptnEvaluationStatus){withoutExplanationsOfPasses, withoutExplanations, withShortQueries, withoutSummaries, withFewMeasurements} {
		text, err := json.Marshal(e)
		if err != nil || len(text) <= maxObject {
			return // what cannot be written fails where it is written
		}
		take(&e.Status)
	}
}

func withoutExplanationsOfPasses(s *lifecyclev1.KeptnEvaluationStatus) {
	for name, item := range s.EvaluationStatus {
		if item.Status.Passed() {
			item.Explain = nil
			s.EvaluationStatus[name] = item
		}
	}
}

func withoutExplanations(s *lifecyclev1.KeptnEvaluationStatus) {
	for name, item := range s.EvaluationStatus {
		item.Explain = nil
		s.EvaluationStatus[name] = item
	}
}

func withShortQueries(s *lifecyclev1.KeptnEvaluationStatus) {
	for i := range s.Measurements {
		m := &s.Measurements[i]
		m.Query, m.Message, m.Lines = condition.Bounded(m.Query, maxShortened), condition.Bounded(m.Message, maxShortened), nil
	}
}

func withoutSummaries(s *lifecyclev1.KeptnEvaluationStatus) {
	for i := range s.Repeated {
		s.Repeated[i].Summary = ""
	}
}

func withFewMeasurements(s *lifecyclev1.KeptnEvaluationStatus) {
	s.Measurements = s.Measurements[:min(len(s.Measurements), maxMeasurements)]
	for i := range s.SLOs {
		s.SLOs[i].BurnRates = nil
	}
}
