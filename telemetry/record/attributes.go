package record

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/keptn/gitops/gitname"
)

// The attributes of Keptn's spans and metrics.
const (
	AppName            = attribute.Key("keptn.deployment.app.name")
	AppVersion         = attribute.Key("keptn.deployment.app.version")
	AppNamespace       = attribute.Key("keptn.deployment.app.namespace")
	AppStatus          = attribute.Key("keptn.deployment.app.status")
	AppPreviousVersion = attribute.Key("keptn.deployment.app.previousversion")

	WorkloadName            = attribute.Key("keptn.deployment.workload.name")
	WorkloadVersion         = attribute.Key("keptn.deployment.workload.version")
	WorkloadNamespace       = attribute.Key("keptn.deployment.workload.namespace")
	WorkloadStatus          = attribute.Key("keptn.deployment.workload.status")
	WorkloadPreviousVersion = attribute.Key("keptn.deployment.workload.previousversion")

	TaskName         = attribute.Key("keptn.deployment.task.name")
	TaskType         = attribute.Key("keptn.deployment.task.type")
	TaskStatus       = attribute.Key("keptn.deployment.task.status")
	EvaluationName   = attribute.Key("keptn.deployment.evaluation.name")
	EvaluationType   = attribute.Key("keptn.deployment.evaluation.type")
	EvaluationStatus = attribute.Key("keptn.deployment.evaluation.status")
)

// Attributes of ours, in Keptn's namespace.
const (
	// Attempt counts the retries of a delivery; absent at the first attempt.
	Attempt = attribute.Key("keptn.deployment.attempt")
	// CommitAuthorTime is when the commit was written, in RFC 3339.
	CommitAuthorTime = attribute.Key("keptn.commit.author_time")
	// CommitEvidence is what tied the rollout to the commit.
	CommitEvidence = attribute.Key("keptn.commit.evidence")
)

const (
	// maxMetadata is how many entries of the metadata are told of.
	maxMetadata = 64
	// maxText is how long the name, or the value, of one may be in bytes.
	maxText = 1024
)

// Attributes are common to all spans of a delivery: what is delivered and where to, the
// commit, and every entry of the metadata, by its own name. Of metadata there are the
// first 64 entries by name, cut at 1 KiB each; an entry that has the name of another
// attribute gives way to it.
func (d Delivery) Attributes() []attribute.KeyValue {
	own := append(d.identity(), d.origin()...)
	taken := map[attribute.Key]bool{}
	for _, kv := range own {
		taken[kv.Key] = true
	}
	all := own
	for _, name := range slices.Sorted(maps.Keys(d.Metadata)) {
		key := attribute.Key(Bounded(name, maxText))
		if len(all) == len(own)+maxMetadata {
			break
		}
		if name != "" && !taken[key] {
			all = append(all, key.String(Bounded(d.Metadata[name], maxText)))
		}
	}
	return all
}

// identity says what is delivered.
func (d Delivery) identity() []attribute.KeyValue {
	kvs := []attribute.KeyValue{AppName.String(d.AppName), AppNamespace.String(d.Namespace)}
	if d.AppVersion != "" {
		kvs = append(kvs, AppVersion.String(d.AppVersion))
	}
	if !d.IsApp() {
		kvs = append(kvs, WorkloadName.String(d.WorkloadName), WorkloadVersion.String(d.Version), WorkloadNamespace.String(d.Namespace))
	}
	if attempt := d.Attempt(); attempt > 0 {
		kvs = append(kvs, Attempt.Int(attempt))
	}
	return kvs
}

// origin says where it comes from, and where it goes.
func (d Delivery) origin() []attribute.KeyValue {
	var kvs []attribute.KeyValue
	if d.Environment != "" {
		kvs = append(kvs, semconv.DeploymentEnvironmentNameKey.String(d.Environment))
	}
	c := d.Commit
	if c == nil {
		return kvs
	}
	kvs = append(kvs, semconv.VCSRefHeadRevision(c.SHA))
	if !c.AuthoredAt.IsZero() {
		kvs = append(kvs, CommitAuthorTime.String(c.AuthoredAt.UTC().Format(time.RFC3339)))
	}
	if c.Evidence != "" {
		kvs = append(kvs, CommitEvidence.String(string(c.Evidence)))
	}
	if repository := gitname.PublicURL(c.Repository); repository != "" {
		// The convention asks for the URL without Git's extension.
		kvs = append(kvs, semconv.VCSRepositoryURLFull(strings.TrimSuffix(repository, ".git")))
	}
	return kvs
}

// Bounded is the begin of a text, of at most so many bytes, and of whole characters.
func Bounded(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
