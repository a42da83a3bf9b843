package manifest_test

import (
	"fmt"
	"io/fs"
	"testing"

	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/gittest"
	"github.com/keptn/gitops/gitsource/manifest"
)

// Without the prefetching of a Tree it would be a request for each file.
func TestARepositoryFarAwayIsReadInAHandfulOfRequests(t *testing.T) {
	srv := gittest.New(t)
	repo := srv.Create(t, "app")
	files := map[string]string{}
	for i := range 30 {
		dir := fmt.Sprintf("apps/a%02d/", i)
		files[dir+"lifecycle.yaml"] = lifecycle(fmt.Sprint("a", i))
		files[dir+"base/kustomization.yaml"] = "resources: [d.yaml]\n"
		files[dir+"base/d.yaml"] = deployment(fmt.Sprint("a", i))
		files[dir+"kustomization.yaml"] = "resources: [base]\n"
	}
	head := repo.Commit("main", "thirty apps", files)
	store, err := gitsource.NewStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := store.Repository(gitsource.Remote{URL: repo.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Fetch(t.Context(), gitsource.Ref{}); err != nil {
		t.Fatal(err)
	}
	srv.ResetTraffic()
	found, err := manifest.Discover(t.Context(), r.Tree(t.Context(), head), []string{"apps/*"}, manifest.Limits{})
	if err != nil || len(found.Apps) != 30 || len(found.Problems) > 0 {
		t.Fatalf("%v, %v", found, err)
	}
	if n := srv.Traffic().Requests; n > 10 {
		t.Errorf("it took %d requests", n)
	} else {
		t.Logf("it took %d requests", n)
	}
}

var _ manifest.Prefetcher = (*gitsource.Tree)(nil)

var _ fs.FS = (*gitsource.Tree)(nil)
