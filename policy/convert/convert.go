// Package convert turns what was written for older Keptns into the resources of
// today: Keptn v1's SLI and SLO files into AnalysisValueTemplates and an
// AnalysisDefinition, and resources of older API versions into those of v1.
//
// It reads and writes bytes and objects only: no file, no cluster. The same input
// always gives the same output, in the same order. What cannot be carried over is
// left out and told in a note; what cannot be understood is an error.
package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	metricsv1 "github.com/keptn/gitops/api/metrics/v1"
)

// maxBytes is how much is read: no file that people write is longer, and nothing
// that YAML's anchors can blow up comes in.
const maxBytes = 4 << 20

// read decodes YAML in which no key is given twice. Fields that are unknown are
// ignored, as Keptn does.
func read(data []byte, into any) error {
	if len(data) > maxBytes {
		return fmt.Errorf("%d bytes are too long: at most %d are read", len(data), maxBytes)
	}
	text, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

var notOfName = regexp.MustCompile(`[^a-z0-9]+`)

// resourceName makes a Kubernetes name of an indicator's, as response-time-p95 of
// response_time_p95.
func resourceName(name string) (string, error) {
	made := strings.Trim(notOfName.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(made) > validation.DNS1123SubdomainMaxLength {
		made = strings.TrimRight(made[:validation.DNS1123SubdomainMaxLength], "-")
	}
	if made == "" {
		return "", fmt.Errorf("name %q has neither a letter nor a digit: rename it", name)
	}
	return made, nil
}

// checkReference refuses names that no object can have. The namespace may be
// empty.
func checkReference(what string, ref metricsv1.ObjectReference) error {
	if problems := validation.IsDNS1123Subdomain(ref.Name); len(problems) > 0 {
		return fmt.Errorf("name of the %s %q: %s", what, ref.Name, strings.Join(problems, "; "))
	}
	if ref.Namespace == "" {
		return nil
	}
	if problems := validation.IsDNS1123Label(ref.Namespace); len(problems) > 0 {
		return fmt.Errorf("namespace of the %s %q: %s", what, ref.Namespace, strings.Join(problems, "; "))
	}
	return nil
}

var errEmpty = errors.New("there is nothing to convert")
