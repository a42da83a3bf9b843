package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

const (
	// sources is how many repositories are watched, each looked at every
	// pollInterval.
	sources      = 1000
	pollInterval = time.Minute
	// starting is how long the controller is left alone before there is a source, settling
	// once all sources are ready, and window how long it is then measured, windows times.
	starting, settling, window, windows = 10 * time.Second, 90 * time.Second, time.Minute, 3
	// listings is how often git ls-remote is run.
	listings = 200
	// settleTimeout bounds the first look at all repositories.
	settleTimeout = 10 * time.Minute
	// polled is the folder of the repositories, and the namespace of their sources.
	polled = "polled"
	// lookRequest is the request that a look at a remote is: the command ls-refs of
	// protocol 2. The remote's capabilities are known from the first look.
	lookRequest = "POST git-upload-pack"
)

// idlePolls measures what it costs to look at repositories in which nothing happens.
func idlePolls(ctx context.Context, b *bench) (_ []table, err error) {
	t := table{
		title:   fmt.Sprintf("An idle poll: %d sources, interval %s", sources, pollInterval),
		columns: []string{"", "CPU per poll", "requests", "received", "sent", "API server requests", "memory / peak", "of a source", "polls per second"},
		note: fmt.Sprintf("%d repositories of 5 commits and 4 files at a plain Git server (git http-backend), no new commits. Windows of %.0f s, "+
			"after %.0f s in which all sources were ready. CPU is user and system time, bytes are counted on the TCP connections with HTTP's headers, "+
			"requests to the API server are the controller's own count. Of a source is what the process takes more than it did before there was one, "+
			"for its Lifecycle and SLOPolicy too. `git ls-remote` is one process per poll, %d of them, one after the other. "+
			"Flux is quoted from an earlier measurement of source-controller v1.9.0-13-g39b711b1, with 200 sources every 10 s, on two cores of an AMD EPYC.", sources, window.Seconds(), settling.Seconds(), listings),
	}
	counted, err := startProxy(ctx, b.bed.gitURL)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, counted.close()) }()
	if err := b.makeRepositories(ctx); err != nil {
		return nil, err
	}
	if t.rows, err = b.watchAll(ctx, counted); err != nil {
		return nil, err
	}
	listing, err := listAll(ctx, counted)
	if err != nil {
		return nil, err
	}
	t.rows = append(t.rows, listing,
		[]string{"Flux, steady state (quoted)", "2.7 ms", "1", "620 B", "145 B", "0", "104 MB / 104 MB", "", "20.0"},
		[]string{"Flux, first 4 minutes (quoted)", "3.55 ms", "1", "620 B", "145 B", "1", "103 MB / 103 MB", "", "20.0"})
	return []table{t}, nil
}

// makeRepositories makes the repositories at the plain Git server.
func (b *bench) makeRepositories(ctx context.Context) error {
	b.progress.Printf("poll: makes %d repositories", sources)
	first := filepath.Join(b.bed.gitRoot, polled, repositoryName(0))
	if err := os.MkdirAll(first, 0o755); err != nil {
		return fmt.Errorf("make a repository: %w", err)
	}
	bare := &workingCopy{dir: first, env: gitEnv()}
	if _, err := bare.git(ctx, "init", "-q", "--bare", "-b", "main"); err != nil {
		return err
	}
	seed, err := newWorkingCopy(ctx, filepath.Join(b.work, polled), first, "", "")
	if err != nil {
		return err
	}
	for i := range 5 {
		if _, err := seed.commit(ctx, app("checkout", time.Duration(i)*time.Second)); err != nil {
			return err
		}
	}
	if _, _, err := seed.push(ctx); err != nil {
		return err
	}
	for i := 1; i < sources; i++ {
		if err := os.CopyFS(filepath.Join(b.bed.gitRoot, polled, repositoryName(i)), os.DirFS(first)); err != nil {
			return fmt.Errorf("copy a repository: %w", err)
		}
	}
	return nil
}

func repositoryName(i int) string { return fmt.Sprintf("r%04d.git", i) }

// watchAll runs the controller with a source for every repository, and returns a row
// for each window.
func (b *bench) watchAll(ctx context.Context, counted *proxy) (_ [][]string, err error) {
	if err := b.kube.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: polled}}); err != nil {
		return nil, fmt.Errorf("prepare the cluster: %w", err)
	}
	ctx, c, err := b.startController(ctx, "poll")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := pause(ctx, starting); err != nil {
		return nil, err
	}
	empty, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.createSources(ctx, counted.url); err != nil {
		return nil, err
	}
	if err := b.settle(ctx); err != nil {
		return nil, err
	}
	var rows [][]string
	for i := range windows {
		row, err := observe(ctx, c, counted, empty)
		if err != nil {
			return nil, err
		}
		rows = append(rows, append([]string{fmt.Sprintf("Keptn, window %d", i+1)}, row...))
		b.progress.Printf("poll: %s", strings.Join(rows[i], ", "))
	}
	if err := b.kube.DeleteAllOf(ctx, &gitopsv1alpha1.GitSource{}, client.InNamespace(polled)); err != nil { // while they are let go
		return nil, fmt.Errorf("delete the sources: %w", err)
	}
	return rows, nil
}

func (b *bench) createSources(ctx context.Context, server string) error {
	for i := range sources {
		source := &gitopsv1alpha1.GitSource{
			ObjectMeta: metav1.ObjectMeta{Namespace: polled, Name: strings.TrimSuffix(repositoryName(i), ".git")},
			Spec: gitopsv1alpha1.GitSourceSpec{
				URL:         server + "/" + polled + "/" + repositoryName(i),
				Interval:    metav1.Duration{Duration: pollInterval},
				Environment: "bench",
			},
		}
		if err := b.kube.Create(ctx, source); err != nil {
			return fmt.Errorf("create a source: %w", err)
		}
	}
	return nil
}

// settle waits until all sources are ready and have reported, and some time more.
func (b *bench) settle(ctx context.Context) error {
	began := time.Now()
	waiting, cancel := context.WithTimeoutCause(ctx, settleTimeout, fmt.Errorf("not all sources were ready after %s", settleTimeout))
	defer cancel()
	for ready := 0; ready < sources; {
		if err := pause(waiting, time.Second); err != nil {
			return fmt.Errorf("%w: %d of %d are", err, ready, sources)
		}
		var list gitopsv1alpha1.GitSourceList
		if err := b.kube.List(waiting, &list, client.InNamespace(polled)); err != nil {
			return fmt.Errorf("look at the sources: %w", err)
		}
		ready = 0
		for _, s := range list.Items {
			if apimeta.IsStatusConditionTrue(s.Status.Conditions, meta.ReadyCondition) &&
				apimeta.IsStatusConditionTrue(s.Status.Conditions, gitopsv1alpha1.ReportedCondition) {
				ready++
			}
		}
	}
	b.progress.Printf("poll: all sources ready after %.0f s", time.Since(began).Seconds())
	return pause(ctx, settling)
}

// observe watches the controller for a window and returns what one poll took, and what a
// source takes more than the controller did that had none.
func observe(ctx context.Context, c *controller, counted *proxy, empty usage) ([]string, error) {
	before, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	counted.take()
	if err := pause(ctx, window); err != nil {
		return nil, err
	}
	t := counted.take()
	after, err := c.usage(ctx)
	if err != nil {
		return nil, err
	}
	polls := float64(t.count(lookRequest))
	if polls == 0 {
		return nil, errors.New("the controller looked at no repository")
	}
	return []string{
		ms(milliseconds(after.cpu-before.cpu) / polls),
		fmt.Sprintf("%.3g", float64(len(t.exchanges))/polls),
		size(float64(t.down) / polls),
		size(float64(t.up) / polls),
		fmt.Sprintf("%.2g", (after.apiRequests()-before.apiRequests())/polls),
		size(after.rss) + " / " + size(after.peak),
		size((after.rss - empty.rss) / sources),
		fmt.Sprintf("%.1f", polls/after.at.Sub(before.at).Seconds()),
	}, nil
}

// listAll runs git ls-remote, a process for each look, and returns what one took.
func listAll(ctx context.Context, counted *proxy) ([]string, error) {
	var cpu time.Duration
	began := time.Now()
	counted.take()
	for i := range listings {
		cmd := exec.CommandContext(ctx, "git", "ls-remote", counted.url+"/"+polled+"/"+repositoryName(i%sources), "refs/heads/main")
		cmd.Env = gitEnv()
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("git ls-remote: %w\n%s", err, out)
		}
		cpu += cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	perSecond := listings / time.Since(began).Seconds()
	t := counted.take()
	return []string{
		"`git ls-remote`", ms(milliseconds(cpu) / listings), fmt.Sprintf("%.3g", float64(len(t.exchanges))/listings),
		size(float64(t.down) / listings), size(float64(t.up) / listings), "", "", "", fmt.Sprintf("%.1f", perSecond),
	}, nil
}
