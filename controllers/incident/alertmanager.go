package incident

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/keptn/gitops/controllers/directory"
	"github.com/keptn/gitops/gitname"
)

// maxAlerts is how many alerts one body may have.
const maxAlerts = 1000

// ahead is how far a time may be in the future, since clocks differ.
const ahead = 5 * time.Minute

// notification is what Alertmanager posts to a webhook, and Grafana too:
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config.
type notification struct {
	Version     string `json:"version"`
	ExternalURL string `json:"externalURL"`
	// Alerts are read one by one, so that one that cannot be read spoils no other.
	Alerts []json.RawMessage `json:"alerts"`
}

type alert struct {
	Status      string            `json:"status"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    string            `json:"startsAt"`
	EndsAt      string            `json:"endsAt"`
	Fingerprint string            `json:"fingerprint"`
}

// FromAlertmanager reads the body of a webhook of Alertmanager, version 4, or of
// Grafana. An alert that fires is an incident, and a resolved one its end. The app is
// the label keptn_app, else app; the namespace and the environment are the labels
// namespace and keptn_environment; and the label or annotation keptn_commit is the
// commit that is held responsible. An alert that cannot be read is ignored, since the
// others of its group are as true without it; it is an error where none can be read.
// Reasons and errors say where in the body it is.
func FromAlertmanager(body []byte, now time.Time) ([]Report, []Ignored, error) {
	var n notification
	if err := decode(body, &n); err != nil {
		return nil, nil, err
	}
	switch {
	case n.Version != "4" && n.Version != "1": // Grafana's is 1
		return nil, nil, fmt.Errorf("version %q: has to be \"4\"", n.Version)
	case len(n.Alerts) == 0:
		return nil, nil, errors.New("alerts: there are none")
	case len(n.Alerts) > maxAlerts:
		return nil, nil, fmt.Errorf("alerts: there are %d, and %d are too many: set max_alerts", len(n.Alerts), maxAlerts+1)
	}
	var reports []Report
	var ignored []Ignored
	for i, raw := range n.Alerts {
		at := fmt.Sprintf("alerts[%d]", i)
		r, err := reportOf(at, raw, now)
		if err != nil {
			ignored = append(ignored, Ignored{At: at, Reason: err.Error()})
			continue
		}
		r.Source = cmp.Or(n.ExternalURL, "alertmanager")
		reports = append(reports, r)
	}
	if len(reports) == 0 {
		return nil, nil, errors.New(ignored[0].Reason)
	}
	return reports, ignored, nil
}

// reportOf is what the alert says that is at a place of the body.
func reportOf(at string, raw []byte, now time.Time) (Report, error) {
	var a alert
	if err := json.Unmarshal(raw, &a); err != nil {
		kind := (*json.UnmarshalTypeError)(nil)
		if !errors.As(err, &kind) {
			return Report{}, fmt.Errorf("%s: %w", at, err)
		}
		return Report{}, fmt.Errorf("%s: cannot be a JSON %s", strings.TrimSuffix(at+"."+kind.Field, "."), kind.Value)
	}
	r := Report{
		At: at,
		Name: directory.Name{
			Namespace: a.Labels["namespace"], App: cmp.Or(a.Labels["keptn_app"], a.Labels["app"]), Environment: a.Labels["keptn_environment"],
		},
		Key:     cmp.Or(a.Fingerprint, digest(a.Labels)),
		Summary: cmp.Or(a.Annotations["summary"], a.Annotations["description"], a.Labels["alertname"]),
	}
	var err error
	if r.Commit, err = commitOf(at+".labels.keptn_commit", a.Labels["keptn_commit"]); err != nil {
		return r, err
	}
	annotated, err := commitOf(at+".annotations.keptn_commit", a.Annotations["keptn_commit"])
	if err != nil {
		return r, err
	}
	r.Commit = cmp.Or(annotated, r.Commit)
	return r, a.times(&r, now)
}

// times says of a report when the alert began and ended.
func (a *alert) times(r *Report, now time.Time) (err error) {
	if r.StartedAt, err = timeOf(r.At+".startsAt", a.StartsAt); err == nil {
		err = checkTime(r.At+".startsAt", r.StartedAt, now)
	}
	if err != nil {
		return err
	}
	switch a.Status {
	case "firing":
		return nil
	case "resolved":
		if r.ResolvedAt, err = timeOf(r.At+".endsAt", a.EndsAt); err != nil {
			return err
		}
		if r.ResolvedAt.Before(r.StartedAt) { // absent, or of a clock that is behind
			r.ResolvedAt = now
		}
		return checkTime(r.At+".endsAt", r.ResolvedAt, now)
	default:
		return fmt.Errorf("%s.status %q: has to be firing or resolved", r.At, a.Status)
	}
}

// digest identifies an alert by its labels, as Alertmanager's fingerprint does.
func digest(labels map[string]string) string {
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(hash, "%q=%q,", name, labels[name])
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8])
}

// aTime is what a time looks like.
const aTime = "has to be a time, as 2026-05-05T05:05:05Z"

// timeOf is the time that is written at a place, zero where none is.
func timeOf(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, fmt.Errorf("%s %q: %s", name, text, aTime)
	}
	return t, nil
}

// checkTime refuses a time that is missing, in the future, or older than Git.
func checkTime(name string, t, now time.Time) error {
	switch {
	case t.Year() < 2005:
		return fmt.Errorf("%s: %s", name, aTime)
	case t.After(now.Add(ahead)):
		return fmt.Errorf("%s %s: is in the future: it is %s", name, t.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	default:
		return nil
	}
}

// commitOf is the commit that is said at a place, in lower case as Git writes it; what
// is none is refused.
func commitOf(name, said string) (string, error) {
	sha := strings.ToLower(said)
	if sha != "" && !gitname.IsCommitish(sha) {
		return "", fmt.Errorf("%s: has to be a SHA, of which seven digits will do", name)
	}
	return sha, nil
}

// decode reads JSON. An error says where it is.
func decode(body []byte, into any) error {
	err := json.Unmarshal(body, into)
	syntax, kind := (*json.SyntaxError)(nil), (*json.UnmarshalTypeError)(nil)
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("byte %d: %w", syntax.Offset, err)
	case errors.As(err, &kind):
		return fmt.Errorf("byte %d: %s cannot be a JSON %s", kind.Offset, cmp.Or(kind.Field, "the body"), kind.Value)
	case err != nil:
		return fmt.Errorf("read the body: %w", err)
	default:
		return nil
	}
}
