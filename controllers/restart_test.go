package controllers_test

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

// interruption is a restart of the controller at one of the steps of a delivery.
type interruption struct {
	// step before which, or right after which, the controller is stopped.
	step int
	// midway stops it right after the step, before it can have dealt with it;
	// else the step happens while it is down.
	midway bool
	// fresh has it start with nothing of what it kept of Git.
	fresh bool
}

var _ = Describe("A restart", func() {
	// story is a delivery, step by step, and what is said of its commit after
	// each of them.
	type step struct {
		do   func()
		says map[string]string
	}
	story := func(ctx context.Context, w *world, commit string, change ...func(*gitopsv1alpha1.GitSource)) []step {
		return []step{
			{func() { w.source(ctx, change...) }, map[string]string{
				"validate": "success: valid: checkout", "checkout/deployment": "pending: waiting for the rollout",
			}},
			{func() { w.apply(ctx, deployment) }, map[string]string{
				"checkout/deployment": "pending: rolling out", "checkout/post-deployment": "pending: waiting for the rollout",
			}},
			{func() { w.rollOut(ctx, deployment) }, map[string]string{
				"checkout/deployment":      "success: 1 pod runs " + commit[:7],
				"checkout/post-deployment": "pending: evaluating checkout-slo: error-ratio is undecided",
			}},
			{func() { w.metrics.set("errors", "31") }, map[string]string{
				"checkout/post-deployment": "failure: error-ratio 3.1% ≥ 1%",
			}},
		}
	}
	var down, midway []TableEntry
	for i := range 4 {
		down = append(down, Entry(nil, interruption{step: i, fresh: i%2 == 0}))
		midway = append(midway, Entry(nil, interruption{step: i, fresh: i%2 == 1, midway: true}))
	}
	walk := func(at interruption, steps []step, says func(name, text string)) {
		GinkgoHelper()
		dir := GinkgoT().TempDir()
		stop := runController(dir)
		again := func() {
			if at.fresh {
				dir = GinkgoT().TempDir()
			}
			stop = runController(dir)
		}
		for i, s := range steps {
			if i == at.step && !at.midway {
				stop()
			}
			s.do()
			if i == at.step {
				stop()
				again()
			}
			for name, text := range s.says {
				says(name, text)
			}
		}
		stop()
	}
	name := func(at interruption) string {
		return fmt.Sprintf("at step %d, midway: %t, without what it kept: %t", at.step, at.midway, at.fresh)
	}

	DescribeTable("loses no verdict, and repeats none in the notes", func(ctx context.Context, at interruption) {
		w := newWorld(ctx)
		w.metrics.set("requests", "1000")
		commit := w.repo.Commit("main", "Add checkout", files(deployment, patient))
		walk(at, story(ctx, w, commit), func(name, text string) { w.says(commit, name, text) })
		lines := map[string]int{}
		for _, n := range notes(w.repo, commit) {
			lines[fmt.Sprint(n.Context, n.State, n.Description)]++
		}
		Expect(lines).To(HaveEach(1))
	}, name, down, midway)

	DescribeTable("loses no verdict, and posts none twice", func(ctx context.Context, at interruption) {
		w := newWorld(ctx)
		w.metrics.set("requests", "1000")
		g, onGitea := w.onGitea(ctx)
		commit := w.repo.Commit("main", "Add checkout", files(deployment, patient))
		walk(at, story(ctx, w, commit, onGitea), func(name, text string) {
			Eventually(func() map[string]string { return g.said(commit) }).Should(HaveKeyWithValue(name, HavePrefix(text)))
		})
		lines := map[string]int{}
		for _, line := range g.posted(commit) {
			lines[line]++
		}
		Expect(lines).To(HaveEach(1))
	}, name, midway)
})
