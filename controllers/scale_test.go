package controllers_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"runtime"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/gitsource/gittest"
)

var _ = Describe("A thousand sources", func() {
	const (
		repositories = 200
		sources      = 1000
		interval     = time.Minute
		// perSource is what a source and its copies may take in memory, in bytes.
		perSource = 100_000
		// perPush is what a push of a few bytes may take on disk.
		perPush = 16 << 10
	)

	It("of two hundred repositories see every push within two intervals, of a server that is slow and fails", func(ctx context.Context) {
		w := newWorld(ctx)
		repos := make([]*gittest.Repo, repositories)
		for i := range repos {
			repos[i] = w.git.Create(GinkgoTB(), fmt.Sprintf("shop/repo-%03d", i))
			repos[i].Commit("main", "1", files(deployment, plain))
		}
		server, storage := serve(unreliable(w.git.URL)), GinkgoT().TempDir()
		runController(storage)
		empty := heapInUse()
		for i := range sources {
			Expect(kube.Create(ctx, &gitopsv1alpha1.GitSource{
				ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: fmt.Sprintf("source-%04d", i)},
				Spec: gitopsv1alpha1.GitSourceSpec{
					URL: fmt.Sprintf("%s/shop/repo-%03d.git", server, i%repositories), Interval: metav1.Duration{Duration: interval},
					Environment: fmt.Sprintf("e%d", i/repositories), Provider: gitopsv1alpha1.GiteaProvider, // which has no token
				},
			})).To(Succeed())
		}
		push := func(version string) map[string]int {
			heads := map[string]int{}
			for i, repo := range repos {
				heads["main@sha1:"+repo.Commit("main", version, map[string]string{"apps/checkout/version": fmt.Sprint(version, i)})] = sources / repositories
			}
			return heads
		}
		late := func(heads map[string]int) func() int {
			return func() int {
				var all gitopsv1alpha1.GitSourceList
				Expect(kube.List(ctx, &all, client.InNamespace(w.namespace))).To(Succeed())
				at := map[string]int{}
				for i := range all.Items {
					at[all.Items[i].Status.ObservedRevision]++
				}
				missing := sources
				for revision, n := range at {
					missing -= min(n, heads[revision])
				}
				return missing
			}
		}

		began := time.Now()
		Eventually(late(push("2")), "6m", "1s").Should(BeZero())
		AddReportEntry("all seen for the first time", time.Since(began).Round(time.Second))
		goroutines, disk := runtime.NumGoroutine(), bytesBelow(storage)
		heads := push("3")
		began = time.Now()
		Eventually(late(heads), 2*interval, "1s").Should(BeZero())
		AddReportEntry("all pushes seen", time.Since(began).Round(time.Second))
		AddReportEntry("bytes in memory of each", (heapInUse()-empty)/sources)
		Expect(heapInUse() - empty).To(BeNumerically("<", sources*perSource))
		Expect(bytesBelow(storage)).To(BeNumerically("<", disk+repositories*perPush))
		Eventually(runtime.NumGoroutine, interval, "1s").Should(BeNumerically("<=", goroutines+100))
	})
})

var _ = Describe("A source in whose repository nothing happens", func() {
	It("is looked at, and nothing is written, told or logged", func(ctx context.Context) {
		w := newWorld(ctx)
		w.repo.Commit("main", "1", files(deployment, plain))
		runController(GinkgoT().TempDir())
		w.source(ctx, func(s *gitopsv1alpha1.GitSource) { s.Spec.Interval.Duration = 100 * time.Millisecond })
		Eventually(func(g Gomega) {
			w.git.ResetTraffic()
			writes, lines := written.of(w.namespace), len(logged.String())
			g.Eventually(func() int { return w.git.Traffic().Requests }).Should(BeNumerically(">=", 20))
			g.Expect(written.of(w.namespace)).To(Equal(writes))
			g.Expect(logged.String()[lines:]).To(BeEmpty())
		}, "2m").Should(Succeed())
	})
})

// heapInUse are the bytes of what is in memory, after garbage is collected.
func heapInUse() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// unreliable is a proxy that passes requests on after up to a fifth of a second, and
// answers every fifth with an error, or not at all.
func unreliable(to string) http.Handler {
	GinkgoHelper()
	target, err := url.Parse(to)
	Expect(err).NotTo(HaveOccurred())
	proxy := httputil.NewSingleHostReverseProxy(target)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(time.Duration(rand.IntN(200)) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
		switch rand.IntN(10) {
		case 0:
			http.Error(w, "told to fail", http.StatusServiceUnavailable)
		case 1:
			panic(http.ErrAbortHandler) // the connection breaks
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// bytesBelow is how much the files of a folder hold.
func bytesBelow(dir string) (total int64) {
	GinkgoHelper()
	Expect(filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // a file that goes meanwhile takes no room
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})).To(Succeed())
	return total
}
