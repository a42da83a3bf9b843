package dora_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/keptn/gitops/dora"
)

// long is a history of commits, every tenth a merge of a branch of two, and a deployment of
// every fifth commit on main; of these every tenth failed, and every fiftieth was a rollback.
func long(deployments int) (*repository, []dora.Deployment) {
	r := &repository{commits: map[string]dora.Commit{}}
	add := func(i int, name string, parents ...string) string {
		sha := full(name)
		when := noon.Add(time.Duration(i) * time.Minute)
		r.commits[sha] = dora.Commit{SHA: sha, Parents: parents, AuthoredAt: when, CommittedAt: when, Message: "Change it"}
		return sha
	}
	tips := []string{add(0, "0")}
	var log []dora.Deployment
	for i := 1; len(log) < deployments; i++ {
		parents := tips[i-1:]
		if i%10 == 0 {
			branch := add(i, fmt.Sprint(i, "b"), add(i, fmt.Sprint(i, "a"), tips[i-5]))
			parents = []string{tips[i-1], branch}
		}
		tips = append(tips, add(i, fmt.Sprint(i), parents...))
		if i%5 != 0 {
			continue
		}
		d := dora.Deployment{App: "shop", Environment: "production", Commit: tips[i], Result: dora.Success}
		d.StartedAt = noon.Add(time.Duration(i) * time.Minute)
		d.FinishedAt = d.StartedAt.Add(3 * time.Minute)
		switch n := len(log); {
		case n%50 == 49:
			d.Commit = tips[i-20]
		case n%10 == 9:
			d.Result = dora.Failure
		}
		log = append(log, d)
	}
	return r, log
}

// BenchmarkEvaluate shows by its time for each deployment, which is the same for all sizes,
// that it is linear.
func BenchmarkEvaluate(b *testing.B) {
	for _, size := range []int{100, 1_000, 10_000} {
		r, log := long(size)
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				services, err := dora.Evaluate(b.Context(), r, log, dora.Options{})
				if err != nil || services[0].Metrics(dora.Window{}).LeadTime.Count == 0 {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/deployment")
		})
	}
}

func TestTenTimesTheDeploymentsTakeTenTimesTheMemory(t *testing.T) {
	bytes := func(size int) uint64 {
		r, log := long(size)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := dora.Evaluate(t.Context(), r, log, dora.Options{}); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if small, large := bytes(200), bytes(2_000); large > 15*small {
		t.Errorf("200 deployments take %d bytes, 2,000 take %d", small, large)
	}
}
