// Package fluxhook takes in the alerts of Flux's notification-controller, and has the
// GitSource that is meant looked at: where Flux has applied a commit there is one to be
// read. It reads nothing else of an alert, and believes nothing that it says.
package fluxhook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	eventv1 "github.com/fluxcd/pkg/apis/event/v1beta1"
	"github.com/fluxcd/pkg/apis/meta"
	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/guard"
)

// maxBody is how many bytes an alert may have. Flux's messages have 39,000 at most.
const maxBody = 256 << 10

// Wake has a GitSource looked at. It returns before that.
type Wake func(ctx context.Context, source *gitopsv1alpha1.GitSource) error

// Handler answers the providers generic and generic-hmac:
// https://fluxcd.io/flux/components/notification/providers/#generic-webhook.
type Handler struct {
	// Reader reads the cache.
	Reader client.Reader
	// Wake has the GitSource looked at.
	Wake Wake
	// Log is told what could not be done.
	Log logr.Logger
}

// Routes are where alerts are posted to. Who may post is what auth says.
func (h *Handler) Routes(auth guard.Auth) []guard.Route {
	return []guard.Route{{
		Pattern: "POST /hooks/flux/{namespace}/{gitsource}", Handler: h, Auth: auth,
		MaxBody: maxBody, ContentTypes: []string{"application/json"},
		Rate: guard.Rate{Each: 10, All: 100, Burst: 100},
	}}
}

// ServeHTTP implements http.Handler. It answers 202 where the GitSource is woken, 200
// where it has observed the revision of the alert already, 404 where there is no such
// GitSource, and 400 where the body is no event of Flux.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("gitsource")}
	event, err := read(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var source gitopsv1alpha1.GitSource
	err = h.Reader.Get(r.Context(), name, &source)
	if apierrors.IsNotFound(err) {
		http.Error(w, fmt.Sprintf("there is no GitSource %s", name), http.StatusNotFound)
		return
	}
	if err == nil && observed(&source, event) {
		return
	}
	if err == nil {
		err = h.Wake(r.Context(), &source)
	}
	if err != nil {
		h.Log.Error(err, "A GitSource cannot be woken", "gitSource", name)
		w.Header().Set("Retry-After", "10")
		http.Error(w, "the GitSource cannot be woken: try again", http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// read reads an event of Flux.
func read(body io.Reader) (*eventv1.Event, error) {
	var event eventv1.Event
	if err := json.NewDecoder(body).Decode(&event); err != nil {
		return nil, fmt.Errorf("read the event: %w", err)
	}
	if event.InvolvedObject.Kind == "" {
		return nil, fmt.Errorf("involvedObject.kind: is missing, so this is no event of Flux")
	}
	return &event, nil
}

// observed says whether the source has observed the commit of the event.
func observed(source *gitopsv1alpha1.GitSource, event *eventv1.Event) bool {
	_, has, _ := strings.Cut(source.Status.ObservedRevision, "@")
	for _, key := range []string{eventv1.MetaCommitKey, eventv1.MetaOriginRevisionKey, eventv1.MetaRevisionKey} {
		for _, prefix := range []string{"", strings.Split(event.InvolvedObject.APIVersion, "/")[0] + "/"} {
			revision := event.Metadata[prefix+key]
			if _, digest, cut := strings.Cut(revision, "@"); cut {
				revision = digest
			}
			if revision != "" && has != "" && (revision == has || "sha1:"+revision == has) {
				return true
			}
		}
	}
	return false
}

// +kubebuilder:rbac:groups=gitops.keptn.sh,resources=gitsources,verbs=get;list;watch;patch

// Request returns a Wake that asks as `flux reconcile` does, by the annotation
// reconcile.fluxcd.io/requestedAt. Whichever replica leads sees it.
func Request(c client.Client, now func() time.Time) Wake {
	return func(ctx context.Context, source *gitopsv1alpha1.GitSource) error {
		before := source.DeepCopy()
		asked := source.DeepCopy()
		if asked.Annotations == nil {
			asked.Annotations = map[string]string{}
		}
		asked.Annotations[meta.ReconcileRequestAnnotation] = now().UTC().Format(time.RFC3339Nano)
		if err := c.Patch(ctx, asked, client.MergeFrom(before)); err != nil {
			return fmt.Errorf("request a look: %w", err)
		}
		return nil
	}
}
