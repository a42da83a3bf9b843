package evidence_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	corev1 "k8s.io/api/core/v1"

	"github.com/keptn/gitops/controllers/evidence"
	"github.com/keptn/gitops/gitsource/image"
)

func TestTheImagesOfAPodAreAskedForOnceEach(t *testing.T) {
	const commit = "b3b00fe35424a45d373bf4c7214178bc36fd7872"
	var asked atomic.Int32
	down := false
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") {
			asked.Add(1)
		}
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		images.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	labelled, err := mutate.Config(empty.Image, v1.Config{Labels: map[string]string{
		"org.opencontainers.image.revision": commit, "org.opencontainers.image.source": "https://git.example.com/acme/shop",
	}})
	if err != nil {
		t.Fatal(err)
	}
	for tag, built := range map[string]v1.Image{"shop:1": labelled, "proxy:1": empty.Image} {
		ref, err := name.ParseReference(host + "/" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Write(ref, built); err != nil {
			t.Fatal(err)
		}
	}
	pod := &corev1.PodSpec{
		InitContainers: []corev1.Container{{Image: host + "/shop:1"}},
		Containers:     []corev1.Container{{Image: host + "/shop:1"}, {Image: host + "/proxy:1"}},
	}
	asking := evidence.NewImages(worldOf(t, []string{"pullsecrets.yaml"}), image.New())
	explain := func() evidence.Explanation {
		t.Helper()
		all, err := asking.Explain(t.Context(), "shop", pod)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}

	got := explain()
	for i := range got.Claims {
		if got.Claims[i].Commit == "" && strings.Contains(got.Claims[i].Doubt, "names no commit") {
			got.Claims[i].Doubt = "why"
		}
	}
	want := evidence.Explanation{Claims: []evidence.Claim{
		{Evidence: evidence.Image, By: "image " + host + "/shop:1", Repository: "https://git.example.com/acme/shop", Commit: commit, Revision: commit},
		{Evidence: evidence.Image, By: "image " + host + "/proxy:1", Doubt: "why"},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("One that says nothing is told of, and each is there once.\n(-want +got):\n%s", diff)
	}

	down = true
	asking = evidence.NewImages(worldOf(t, []string{"pullsecrets.yaml"}), image.New())
	if got := explain(); len(got.Claims) > 0 || len(got.Pending) != 2 {
		t.Errorf("a registry that is down is waited for, got %+v", got)
	}
	before := asked.Load()
	if got := explain(); len(got.Pending) != 2 || asked.Load() != before {
		t.Errorf("a registry that is down is asked again after a minute, got %+v and %d more requests", got, asked.Load()-before)
	}
}
