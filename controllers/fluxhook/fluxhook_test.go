package fluxhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/fluxhook"
	"github.com/keptn/gitops/controllers/guard"
)

const sha = "0123456789abcdef0123456789abcdef01234567"

// alert is what notification-controller posts, with this metadata.
func alert(metadata string) string {
	return `{"involvedObject":{"kind":"Kustomization","namespace":"shop","name":"checkout","apiVersion":"kustomize.toolkit.fluxcd.io/v1"},
"severity":"info","timestamp":"2026-11-23T12:00:00Z","message":"Reconciliation finished","reason":"ReconciliationSucceeded",
"metadata":{` + metadata + `},"reportingController":"kustomize-controller","reportingInstance":"kustomize-controller-0"}`
}

// cluster has the GitSource shop/prod, which has observed a commit.
func cluster(t *testing.T) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := gitopsv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	gs := &gitopsv1alpha1.GitSource{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "prod", Annotations: map[string]string{"theirs": "stays"}}}
	gs.Status.ObservedRevision = "main@sha1:" + sha
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(gs).Build()
}

func TestAnAlertOfFluxWakesTheGitSource(t *testing.T) {
	const newer = "fedcba9876543210fedcba9876543210fedcba98"
	signature := func(body string) string {
		mac := hmac.New(sha256.New, []byte("key"))
		mac.Write([]byte(body))
		return fmt.Sprintf("sha256=%x", mac.Sum(nil))
	}
	token := http.Header{"Authorization": {"Bearer token"}}
	cases := map[string]struct {
		reason, path string
		header       http.Header
		body         string
		wakes        error
		code, woken  int
		text         string
	}{
		"Generic":    {"The provider generic, with a token in its headers.", "/hooks/flux/shop/prod", token, alert(`"revision":"main@sha1:` + newer + `"`), nil, 202, 1, ""},
		"HMAC":       {"The provider generic-hmac.", "/hooks/flux/shop/prod", http.Header{"X-Signature": {signature(alert(""))}}, alert(""), nil, 202, 1, ""},
		"Observed":   {"It was looked at already.", "/hooks/flux/shop/prod", token, alert(`"revision":"main@sha1:` + sha + `"`), nil, 200, 0, ""},
		"Prefixed":   {"Controllers write their group before the key.", "/hooks/flux/shop/prod", token, alert(`"kustomize.toolkit.fluxcd.io/revision":"main@sha1:` + sha + `"`), nil, 200, 0, ""},
		"Origin":     {"The commit that an OCI artifact was made of.", "/hooks/flux/shop/prod", token, alert(`"revision":"latest@sha256:12","originRevision":"main@sha1:` + sha + `"`), nil, 200, 0, ""},
		"Commit":     {"A commit alone.", "/hooks/flux/shop/prod", token, alert(`"commit":"` + sha + `"`), nil, 200, 0, ""},
		"Digest":     {"An artifact's digest is no commit.", "/hooks/flux/shop/prod", token, alert(`"revision":"latest@sha256:` + sha + `"`), nil, 202, 1, ""},
		"Missing":    {"There is no such GitSource.", "/hooks/flux/shop/other", token, alert(""), nil, 404, 0, "there is no GitSource shop/other\n"},
		"Elsewhere":  {"Nor in another namespace.", "/hooks/flux/other/prod", token, alert(""), nil, 404, 0, "there is no GitSource other/prod\n"},
		"NoEvent":    {"Something else was sent.", "/hooks/flux/shop/prod", token, `{"alerts":[]}`, nil, 400, 0, "involvedObject.kind: is missing, so this is no event of Flux\n"},
		"Broken":     {"It is no JSON.", "/hooks/flux/shop/prod", token, `{`, nil, 400, 0, "read the event: unexpected EOF\n"},
		"Large":      {"Flux's alerts are small.", "/hooks/flux/shop/prod", token, strings.Repeat(" ", 1<<18+1), nil, 413, 0, "the body has more than 262144 bytes\n"},
		"Nobody":     {"Anyone could keep us fetching.", "/hooks/flux/shop/prod", http.Header{}, alert(""), nil, 401, 0, ""},
		"WrongKey":   {"So could who guesses.", "/hooks/flux/shop/prod", http.Header{"X-Signature": {signature("other")}}, alert(""), nil, 401, 0, ""},
		"CannotWake": {"Flux sends it again.", "/hooks/flux/shop/prod", token, alert(""), errors.New("secret detail"), 503, 1, "the GitSource cannot be woken: try again\n"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			woken := 0
			h := &fluxhook.Handler{Reader: cluster(t), Log: logr.Discard(), Wake: func(_ context.Context, source *gitopsv1alpha1.GitSource) error {
				if woken++; source.Name != "prod" {
					t.Errorf("woke %s", source.Name)
				}
				return tc.wakes
			}}
			auth := func(*http.Request) ([]guard.Credential, error) {
				return []guard.Credential{{Token: "token", HMACKey: []byte("key")}}, nil
			}
			handler := guard.Handler(h.Routes(auth), time.Now, logr.Discard())
			r := httptest.NewRequest(http.MethodPost, tc.path, strings.NewReader(tc.body))
			r.Header = tc.header.Clone()
			r.Header.Set("Content-Type", "application/json")
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, r)
			if recorder.Code != tc.code || woken != tc.woken || tc.text != "" && recorder.Body.String() != tc.text {
				t.Errorf("%s\ngot %d %s, woken %d times", tc.reason, recorder.Code, recorder.Body, woken)
			}
		})
	}
}

func TestARequestIsAnAnnotationThatEachReplicaCanWrite(t *testing.T) {
	c := cluster(t)
	var gs gitopsv1alpha1.GitSource
	read := func() {
		if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "prod"}, &gs); err != nil {
			t.Fatal(err)
		}
	}
	read()
	cached := gs.DeepCopy()
	now := func() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 5, time.UTC) }
	if err := fluxhook.Request(c, now)(t.Context(), &gs); err != nil {
		t.Fatal(err)
	}
	if gs.Annotations["reconcile.fluxcd.io/requestedAt"] != cached.Annotations["reconcile.fluxcd.io/requestedAt"] {
		t.Error("the object of the cache was written to")
	}
	read()
	if got := gs.Annotations; got["reconcile.fluxcd.io/requestedAt"] != "2026-11-23T12:00:00.000000005Z" || got["theirs"] != "stays" {
		t.Errorf("got %v", got)
	}
	gs.Name = "gone"
	if err := fluxhook.Request(c, now)(t.Context(), &gs); err == nil {
		t.Error("a GitSource that is gone was asked for")
	}
}
