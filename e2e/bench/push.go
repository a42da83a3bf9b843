package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/fluxcd/pkg/apis/meta"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
)

const (
	// warmUps are pushes before the measured ones, pushes those, and tracedPushes
	// those whose steps are timed.
	warmUps, pushes, tracedPushes = 5, 50, 20
	// betweenPushes is how long a controller has to be done with a commit.
	betweenPushes = 500 * time.Millisecond
	// shop is the repository that is pushed to, and the namespace of its sources.
	shop = "shop"
)

// A pushed is one push that was followed to its status.
type pushed struct {
	began, ended, asked, seen time.Time
	traffic                   traffic
}

// pushToStatus measures how long it takes from a git push to the first status that
// one can read on the commit, and, in a second series, where the time goes.
func pushToStatus(ctx context.Context, b *bench) (_ []table, err error) {
	repository, err := b.makeShop(ctx, shop)
	if err != nil {
		return nil, err
	}
	ctx, c, err := b.startController(ctx, "push")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()

	direct := follower{bench: b, copy: repository, repository: shop, environment: "bench", url: b.bed.giteaURL, take: func() traffic { return traffic{} }}
	series, err := direct.follow(ctx, pushes)
	if err != nil {
		return nil, err
	}
	headline := latencies(series)
	through, err := startProxy(ctx, b.bed.giteaURL)
	if err != nil {
		return []table{headline}, err
	}
	defer func() { err = errors.Join(err, through.close()) }()
	traced := follower{bench: b, copy: repository, repository: shop, environment: "traced", url: through.url, take: through.take}
	if series, err = traced.follow(ctx, tracedPushes); err != nil {
		return []table{headline}, err
	}
	return []table{headline, steps(series)}, nil
}

// makeShop makes a repository at Gitea, and what sources of it need, in the namespace of
// its name.
func (b *bench) makeShop(ctx context.Context, name string) (*workingCopy, error) {
	if err := b.gitea().create(ctx, name); err != nil {
		return nil, err
	}
	for _, obj := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "git"},
			StringData: map[string]string{"username": b.bed.giteaUser, "password": b.bed.giteaToken}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "forge"},
			StringData: map[string]string{"token": b.bed.giteaToken}},
	} {
		if err := b.kube.Create(ctx, obj); err != nil {
			return nil, fmt.Errorf("prepare the cluster: %w", err)
		}
	}
	url := b.bed.giteaURL + "/" + b.bed.giteaUser + "/" + name + ".git"
	return newWorkingCopy(ctx, filepath.Join(b.work, name), url, b.bed.giteaUser, b.bed.giteaToken)
}

// A follower pushes commits and follows them to their statuses.
type follower struct {
	*bench
	copy *workingCopy
	// repository is its name, and the namespace of the source.
	repository, environment string
	// url is where the controller finds Gitea.
	url string
	// take returns the traffic since it was last called.
	take func() traffic
	// count makes each content another.
	count int
}

// source is the one that is followed, which looks at the remote only if it is asked to.
func (f *follower) source() *gitopsv1alpha1.GitSource {
	return &gitopsv1alpha1.GitSource{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.repository, Name: f.environment},
		Spec: gitopsv1alpha1.GitSourceSpec{
			URL:         f.url + "/" + f.bed.giteaUser + "/" + f.repository + ".git",
			Interval:    metav1.Duration{Duration: time.Hour},
			Provider:    gitopsv1alpha1.GiteaProvider,
			Environment: f.environment,
			SecretRef:   &meta.LocalObjectReference{Name: "git"},
			Statuses:    &gitopsv1alpha1.Statuses{SecretRef: &meta.LocalObjectReference{Name: "forge"}},
		},
	}
}

// follow measures n pushes of a source of its own.
func (f *follower) follow(ctx context.Context, n int) ([]pushed, error) {
	source := f.source()
	if err := f.kube.Create(ctx, source); err != nil {
		return nil, fmt.Errorf("create the source: %w", err)
	}
	var series []pushed
	for i := range warmUps + n {
		p, err := f.push(ctx, source)
		if err != nil {
			return nil, err
		}
		if i >= warmUps {
			series = append(series, p)
		}
		if i%10 == 0 {
			f.progress.Printf("push: %s %d of %d: %s", f.environment, i, warmUps+n, ms(milliseconds(p.seen.Sub(p.ended))))
		}
	}
	if err := f.kube.Delete(ctx, source); err != nil {
		return nil, fmt.Errorf("delete the source: %w", err)
	}
	return series, nil
}

// push pushes one small change, asks for a look, and waits for the status.
func (f *follower) push(ctx context.Context, source *gitopsv1alpha1.GitSource) (p pushed, err error) {
	f.count++
	commit, err := f.copy.commit(ctx, app("checkout", time.Duration(f.count)*time.Second))
	if err != nil {
		return p, err
	}
	f.take()
	if p.began, p.ended, err = f.copy.push(ctx); err != nil {
		return p, err
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, meta.ReconcileRequestAnnotation, p.ended.Format(time.RFC3339Nano))
	if err := f.kube.Patch(ctx, source, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		return p, fmt.Errorf("ask for a look at the repository: %w", err)
	}
	p.asked = time.Now()
	if p.seen, err = f.gitea().await(ctx, f.repository, commit, "keptn/"+f.environment+"/validate"); err != nil {
		return p, err
	}
	err = pause(ctx, betweenPushes)
	p.traffic = f.take()
	return p, err
}

// latencies is the table of how long pushes took.
func latencies(series []pushed) table {
	t := table{
		title:   "From git push to the first commit status",
		columns: []string{"time", "median", "p90", "p99", "least", "most"},
		note: fmt.Sprintf("%d pushes of one changed file, one after the other, to Gitea; each is followed at once by the annotation `%s`, "+
			"and the statuses of the commit are asked for, %s after each answer, until `validate` is there. The p99 of %d is all but the slowest one.",
			len(series), meta.ReconcileRequestAnnotation, askAgain, len(series)),
	}
	t.rows = quantilesOf(series, []span[pushed]{
		{"from the return of `git push`", func(p pushed) time.Duration { return p.seen.Sub(p.ended) }},
		{"from the start of `git push`", func(p pushed) time.Duration { return p.seen.Sub(p.began) }},
		{"`git push` itself", func(p pushed) time.Duration { return p.ended.Sub(p.began) }},
	})
	return t
}

// A span is one time that each of a series took.
type span[T any] struct {
	name string
	time func(T) time.Duration
}

// quantilesOf are the rows of a table of spans: median, p90, p99, least, most.
func quantilesOf[T any](series []T, spans []span[T]) [][]string {
	var rows [][]string
	for _, s := range spans {
		values := make([]float64, len(series))
		for i, p := range series {
			values[i] = milliseconds(s.time(p))
		}
		row := []string{s.name}
		for _, q := range []float64{0.5, 0.9, 0.99, 0, 1} {
			row = append(row, ms(quantile(values, q)))
		}
		rows = append(rows, row)
	}
	return rows
}

// A step is what happens to every push at some time.
type step struct {
	name        string
	began, took []float64 // milliseconds, since the return of git push
}

// steps is the table of where the time goes.
func steps(series []pushed) table {
	var all []*step
	byName := map[string]*step{}
	add := func(p pushed, name string, began, ended time.Time) {
		s := byName[name]
		if s == nil {
			s = &step{name: name}
			byName[name] = s
			all = append(all, s)
		}
		s.began = append(s.began, milliseconds(began.Sub(p.ended)))
		s.took = append(s.took, milliseconds(ended.Sub(began)))
	}
	for _, p := range series {
		add(p, "annotation written", p.ended, p.asked)
		seen := map[string]int{}
		for _, x := range p.traffic.exchanges {
			seen[x.what]++
			name := "`" + x.what + "`"
			if n := seen[x.what]; n > 1 {
				name += fmt.Sprintf(", number %d", n)
			}
			add(p, name, x.began, x.ended)
		}
		add(p, "status read by the author", p.seen, p.seen)
	}
	t := table{
		title:   "Where the time goes",
		columns: []string{"step", "pushes", "begins after `git push`", "takes"},
		note: "Medians of a second series, in which the controller reaches Gitea through a proxy of this program that notes when each request " +
			"came and was answered. What lies between two requests is the controller's own work, and the API server's.",
	}
	for _, s := range byBegin(all) {
		t.rows = append(t.rows, []string{s.name, fmt.Sprintf("%d of %d", len(s.began), len(series)), ms(median(s.began)), ms(median(s.took))})
	}
	return t
}

// byBegin sorts steps by when they begin.
func byBegin(all []*step) []*step {
	slices.SortStableFunc(all, func(a, b *step) int { return cmp.Compare(median(a.began), median(b.began)) })
	return all
}
