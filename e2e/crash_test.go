package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/keptn/gitops/e2e/stage"
)

// How often the controller is killed, and how long it lives: from shorter than it
// takes to start to long enough to have reported.
const (
	kills        = 15
	shortestLife = 300 * time.Millisecond
	longestLife  = 5 * time.Second
)

var _ = Describe("A controller that is killed at any moment", Serial, func() {
	It("brings every verdict, none twice, and every context to one final state", func(ctx context.Context) {
		scale(ctx, 0)
		DeferCleanup(func(ctx context.Context) { scale(ctx, 1) })
		projects := []*stage.Project{project(ctx, "killed-gitea", true), project(ctx, "killed-notes", false)}
		killedAgainAndAgain()

		rounds := []struct {
			change stage.Change
			state  string
		}{{shortSoak, "success"}, {faster, "success"}, {failing, "failure"}}
		commits := map[*stage.Project][]string{}
		for i, round := range rounds {
			for _, p := range projects {
				sha := push(ctx, p, fmt.Sprintf("Round %d", i), round.change)
				Expect(p.Apply(ctx)).To(Succeed())
				commits[p] = append(commits[p], sha)
			}
			for _, p := range projects {
				shows(ctx, p, commits[p][i], stage.PostDeployment, round.state, Not(BeEmpty()))
			}
		}
		for _, p := range projects {
			for _, sha := range commits[p] {
				shows(ctx, p, sha, stage.Validate, "success", "valid: checkout")
				shows(ctx, p, sha, stage.Deployment, "success", "2 pods run "+sha[:7])
				expectToldOnce(ctx, p, sha)
			}
		}
	})
})

// expectToldOnce expects that a commit was told nothing twice, and one verdict in
// each context.
func expectToldOnce(ctx context.Context, p *stage.Project, sha string) {
	GinkgoHelper()
	history, err := p.History(ctx, sha)
	Expect(err).NotTo(HaveOccurred())
	told := map[stage.Status]int{}
	verdicts := map[string]int{}
	for _, s := range history {
		told[s]++
		if s.State != "pending" {
			verdicts[s.Context]++
		}
	}
	for s, times := range told {
		Expect(times).To(Equal(1), "%.7s was told this %d times: %v", sha, times, s)
	}
	for name, n := range verdicts {
		Expect(n).To(Equal(1), "%s has %d verdicts on %.7s: %v", name, n, sha, history)
	}
}

// scale scales the controller that is installed, and waits until it is so.
func scale(ctx context.Context, replicas int) {
	GinkgoHelper()
	keptn := func(w *bytes.Buffer, args ...string) error {
		return stage.Kubectl(ctx, w, append([]string{"--namespace", "keptn-system"}, args...)...)
	}
	Expect(keptn(&bytes.Buffer{}, "scale", "deployment/keptn-controller", fmt.Sprintf("--replicas=%d", replicas))).To(Succeed())
	Eventually(ctx, func() (int, error) {
		var out bytes.Buffer
		err := keptn(&out, "get", "pods", "--output=name")
		return strings.Count(out.String(), "pod/"), err
	}).Should(Equal(replicas))
}

// killedAgainAndAgain runs the controller as a process, killing it at random
// moments and starting it again, and leaves it alone after the last time, until
// the test ends.
func killedAgainAndAgain() {
	GinkgoHelper()
	path, err := binary()
	Expect(err).NotTo(HaveOccurred())
	storage := filepath.Join(GinkgoT().TempDir(), "storage")
	random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 0))
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(ended)
		for life := range kills + 1 {
			cmd := exec.Command(path, "controller", "--storage-dir", storage, "--metrics-bind-address=0",
				"--health-probe-bind-address=0", "--allow-plain-http-credentials", "--cluster-name=e2e")
			cmd.Stdout, cmd.Stderr = GinkgoWriter, GinkgoWriter
			Expect(cmd.Start()).To(Succeed())
			end := time.After(shortestLife + time.Duration(random.Int64N(int64(longestLife-shortestLife))))
			if life == kills {
				end = nil
			}
			select {
			case <-end:
			case <-over:
			}
			_ = cmd.Process.Kill() // it cannot be gone: nothing else ends it
			_ = cmd.Wait()         // says that it was killed
		}
	}()
	DeferCleanup(func() {
		close(over)
		<-ended
	})
}
