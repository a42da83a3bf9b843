package lifecycle

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/telemetry/record"
)

// placeholders of a DetailsURL, and what is put in their places.
var placeholders = map[string]func(kav *lifecyclev1.KeptnAppVersion, context string) string{
	"{namespace}":   func(kav *lifecyclev1.KeptnAppVersion, _ string) string { return kav.Namespace },
	"{name}":        func(kav *lifecyclev1.KeptnAppVersion, _ string) string { return kav.Name },
	"{app}":         func(kav *lifecyclev1.KeptnAppVersion, _ string) string { return kav.Spec.AppName },
	"{environment}": func(kav *lifecyclev1.KeptnAppVersion, _ string) string { return kav.Spec.Environment },
	"{commit}":      func(kav *lifecyclev1.KeptnAppVersion, _ string) string { return kav.Spec.Commit.SHA },
	"{phase}":       func(_ *lifecyclev1.KeptnAppVersion, context string) string { return context },
	"{traceID}":     func(kav *lifecyclev1.KeptnAppVersion, _ string) string { return traceID(kav) },
}

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// CheckDetailsURL says what is wrong with a [Reconciler.DetailsURL]: it has to be an
// http:// or https:// address, in which {namespace} and {name} of the delivery's
// record, {app}, {environment}, {commit}, {phase} as contexts name it, and {traceID} in
// hexadecimal are replaced. Empty is fine.
func CheckDetailsURL(address string) error {
	if address == "" {
		return nil
	}
	for _, p := range placeholder.FindAllString(address, -1) {
		if placeholders[p] == nil {
			return fmt.Errorf("%q: %s is none of {namespace}, {name}, {app}, {environment}, {commit}, {phase}, {traceID}", address, p)
		}
	}
	u, err := url.Parse(placeholder.ReplaceAllString(address, "x"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%q: has to begin with https:// or http://, and a host", address)
	}
	return nil
}

// DetailsURL fills the address with more on one context of a delivery in, as
// [CheckDetailsURL] describes it; of an empty one it makes none. What is put in is
// escaped for a path and for a query alike.
func DetailsURL(address string, kav *lifecyclev1.KeptnAppVersion, context string) string {
	return placeholder.ReplaceAllStringFunc(address, func(p string) string {
		value, known := placeholders[p]
		if !known {
			return p
		}
		return strings.ReplaceAll(url.QueryEscape(value(kav, context)), "+", "%20")
	})
}

// traceID is the id of a delivery's trace: the second part of its trace parent.
func traceID(kav *lifecyclev1.KeptnAppVersion) string {
	parts := strings.Split(record.OfApp(kav).Traceparent(), "-")
	return parts[1]
}
