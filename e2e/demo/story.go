package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/keptn/gitops/e2e/internal/collector"
	"github.com/keptn/gitops/e2e/stage"
)

// patience is how long a commit is given to show what it should.
const patience = 3 * time.Minute

// onGitea says whether the commits are to be on Gitea.
func onGitea() bool { return os.Getenv("FORGE") == "gitea" }

// chapter is one commit: what it changes, and what it should show in the end.
type chapter struct {
	message string
	changes []stage.Change
	// deployed says whether the commit is applied to the cluster.
	deployed bool
	// ends are the states that the commit's contexts end in.
	ends map[string]string
}

// chapters are the story.
func chapters() []chapter {
	good := map[string]string{stage.Validate: "success", stage.Deployment: "success", stage.PostDeployment: "success"}
	bad := map[string]string{stage.Validate: "success", stage.Deployment: "success", stage.PostDeployment: "failure"}
	return []chapter{
		{"Deliver checkout", nil, true, good},
		{"Answer faster", []stage.Change{stage.Edit("deployment.yaml", "value: 60ms", "value: 40ms")}, true, good},
		{"Try another payment gateway", []stage.Change{stage.Edit("deployment.yaml", `value: "0"`, `value: "0.3"`)}, true, bad},
		{
			"Allow fewer errors",
			[]stage.Change{stage.Edit("lifecycle.yaml", "expression: variables.ratio < 0.01", "expresion: variables.ratio < 0.008")},
			false, map[string]string{stage.Validate: "failure"},
		},
		{
			"Go back to the old gateway, mend the policy",
			[]stage.Change{
				stage.Edit("lifecycle.yaml", "expresion:", "expression:"),
				stage.Edit("deployment.yaml", `value: "0.3"`, `value: "0"`),
			}, true, good,
		},
	}
}

// prepare brings up what the story plays on, and returns how to take it down.
func prepare(ctx context.Context, n *narrator, root string) (down func() error, err error) {
	down = func() error { return nil }
	n.chapter("A cluster, a Git server, and the controller")
	if os.Getenv("KUBECONFIG") != "" {
		n.say("using the cluster of KUBECONFIG=%s", os.Getenv("KUBECONFIG"))
	} else {
		bed := stage.NewTestbed(root, "demo", os.Stderr)
		down = func() error { return bed.Down(context.WithoutCancel(ctx)) }
		if err := bringUp(ctx, n, bed, root); err != nil {
			return down, err
		}
	}
	built := make(chan error, 1)
	go func() { built <- buildKeptn(ctx, root) }()
	err = stage.Install(ctx, os.Stderr, root, "--allow-plain-http-credentials")
	if err := errors.Join(err, <-built); err != nil {
		return down, err
	}
	n.say("the controller runs: kubectl apply -k config/default")
	return down, nil
}

func bringUp(ctx context.Context, n *narrator, bed *stage.Testbed, root string) error {
	parts := []string{"control-plane", "node", "prometheus", "git"}
	if onGitea() {
		parts = append(parts, "gitea")
	}
	n.say("bringing up Kubernetes (the first time it is built, which takes about 15 minutes)")
	if err := bed.Up(ctx, parts...); err != nil {
		return err
	}
	n.say("Kubernetes, Prometheus and the Git server are up")
	archives, err := stage.Images(ctx, root, os.Stderr)
	if err != nil {
		return err
	}
	if err := bed.Load(ctx, archives...); err != nil {
		return err
	}
	n.say("images of the controller and of the app are built and on the node")
	return nil
}

// story is what happens to a project.
type story struct {
	*stage.Project
	// root is this repository.
	root     string
	outcomes []outcome
	// traces has what the controller sent, or is nil.
	traces *collector.Collector
}

// open makes the project.
func open(ctx context.Context, root, work string) (*story, error) {
	cluster, err := stage.Connect()
	if err != nil {
		return nil, err
	}
	project, err := stage.NewProject(ctx, cluster, root, work, "shop", onGitea())
	return &story{Project: project, root: root}, err
}

// tell plays one chapter: commit, push, apply, and see what the commit is told.
func (s *story) tell(ctx context.Context, n *narrator, c chapter) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	n.chapter("“" + c.message + "”")
	sha, err := s.Push(ctx, c.message, c.changes...)
	if err != nil {
		return err
	}
	pushed := time.Now()
	n.say("git push: %.7s", sha)
	if c.deployed {
		if err := s.Apply(ctx); err != nil {
			return err
		}
		n.say("kubectl apply -k %s", stage.Folder)
	}
	shown, err := s.follow(ctx, n, sha, c.ends, pushed)
	if err != nil {
		return err
	}
	if !c.deployed {
		n.say("not applied: its check is red")
	}
	lead, err := s.leadTime(ctx, sha)
	s.outcomes = append(s.outcomes, outcome{chapter: c, sha: sha, statuses: shown, leadTime: lead})
	return err
}

// poll is how often a commit is asked what it shows.
const poll = 200 * time.Millisecond

// follow tells each change of what a commit shows, until it shows what it should
// in the end.
func (s *story) follow(ctx context.Context, n *narrator, sha string, ends map[string]string, since time.Time) ([]stage.Status, error) {
	told := map[string]stage.Status{}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		shown, err := s.Statuses(ctx, sha)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Sorted(maps.Keys(shown)) {
			if told[name] != shown[name] {
				n.status(shown[name], time.Since(since))
			}
		}
		told = shown
		if ended(shown, ends) {
			return inOrder(shown), nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%.7s does not show %v: %w", sha, ends, ctx.Err())
		case <-tick.C:
		}
	}
}

func ended(shown map[string]stage.Status, ends map[string]string) bool {
	for name, state := range ends {
		if shown[name].State != state {
			return false
		}
	}
	return true
}

// inOrder lists statuses in the order in which they come about.
func inOrder(shown map[string]stage.Status) []stage.Status {
	var list []stage.Status
	for _, name := range []string{stage.Validate, stage.Deployment, stage.PostDeployment} {
		if s, ok := shown[name]; ok {
			list = append(list, s)
		}
	}
	return list
}

// leadTime is the lead time that the record of a commit's delivery has.
func (s *story) leadTime(ctx context.Context, sha string) (string, error) {
	kav, err := s.Delivery(ctx, sha)
	if err != nil || kav == nil || kav.Status.LeadTime == nil {
		return "—", err
	}
	return kav.Status.LeadTime.Duration.String(), nil
}

// end prints all commits with what they show, how to see it oneself, the trace of one of
// them, and how well the app was delivered.
func (s *story) end(ctx context.Context, n *narrator) error {
	if err := s.overview(ctx, n); err != nil {
		return err
	}
	for _, told := range s.outcomes {
		if told.ends[stage.PostDeployment] != "failure" {
			continue // the trace of what fails says most
		}
		if err := s.trace(ctx, n, told); err != nil {
			return err
		}
	}
	return s.dora(ctx, n)
}

// overview prints all commits with what they show, and how to see it oneself.
func (s *story) overview(ctx context.Context, n *narrator) error {
	if onGitea() {
		n.chapter("What Gitea's API says of each commit")
		n.table(s.outcomes)
		return nil
	}
	n.chapter("What Git notes say of each commit")
	n.table(s.outcomes)
	n.chapter("Plain Git shows them")
	fmt.Fprintln(n.out, "$ git fetch origin refs/notes/keptn:refs/notes/keptn && git log --notes=keptn -1")
	log, err := s.Repo.Git(ctx, "log", "--notes=keptn", "-1")
	if err != nil {
		return err
	}
	fmt.Fprintln(n.out, strings.TrimSpace(log))
	return nil
}
