package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// hooked is the repository whose hook is measured, and the namespace of its source.
	hooked = "hooked"
	// hookKey is what the hook is signed with.
	hookKey = "measured"
)

// A hookedPush is one push that was followed from the forge's hook to its status.
type hookedPush struct {
	pushed
	// came is when the hook's request came, answered when its answer was out.
	came, answered time.Time
}

// hookToStatus measures how long it takes from the arrival of Gitea's own hook, after a
// git push, to the first status that one can read on the commit. Nothing else wakes the
// source: its interval is an hour.
func hookToStatus(ctx context.Context, b *bench) (_ []table, err error) {
	repository, err := b.makeShop(ctx, hooked)
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: hooked, Name: "keptn-webhooks"}, StringData: map[string]string{"hmac-key": hookKey},
	}
	if err := b.kube.Create(ctx, secret); err != nil {
		return nil, fmt.Errorf("prepare the cluster: %w", err)
	}
	ctx, c, err := b.startController(ctx, "webhook")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	// Gitea is in a network of its own: it reaches the controller through this program.
	through, err := startProxyAt(ctx, net.JoinHostPort(b.bed.hostIP, "0"), strings.TrimSuffix(c.values, "/metrics"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, through.close()) }()
	if err := b.gitea().hook(ctx, hooked, through.url+"/hooks/git/"+hooked, hookKey); err != nil {
		return nil, err
	}
	f := follower{bench: b, copy: repository, repository: hooked, environment: "bench", url: b.bed.giteaURL}
	series, err := f.followHooks(ctx, through, pushes)
	if err != nil {
		return nil, err
	}
	return []table{hookLatencies(series)}, nil
}

// followHooks measures n pushes of a source of its own, whose hooks come through a proxy.
func (f *follower) followHooks(ctx context.Context, hooks *proxy, n int) ([]hookedPush, error) {
	source := f.source()
	if err := f.kube.Create(ctx, source); err != nil {
		return nil, fmt.Errorf("create the source: %w", err)
	}
	var series []hookedPush
	for i := range warmUps + n {
		d, err := f.deliver(ctx, hooks)
		if err != nil {
			return nil, err
		}
		if i >= warmUps {
			series = append(series, d)
		}
		if i%10 == 0 {
			f.progress.Printf("webhook: %d of %d: %s", i, warmUps+n, ms(milliseconds(d.seen.Sub(d.came))))
		}
	}
	return series, nil
}

// deliver pushes one small change, waits for its hook, and then for the status: while
// Gitea prepares the hook it is not asked for anything.
func (f *follower) deliver(ctx context.Context, hooks *proxy) (d hookedPush, err error) {
	f.count++
	commit, err := f.copy.commit(ctx, app("checkout", time.Duration(f.count)*time.Second))
	if err != nil {
		return d, err
	}
	if d.began, d.ended, err = f.copy.push(ctx); err != nil {
		return d, err
	}
	if d.came, d.answered, err = nextExchange(ctx, hooks); err != nil {
		return d, fmt.Errorf("wait for the hook of commit %.7s: %w", commit, err)
	}
	if d.seen, err = f.gitea().await(ctx, f.repository, commit, "keptn/"+f.environment+"/validate"); err != nil {
		return d, err
	}
	if err := pause(ctx, betweenPushes); err != nil {
		return d, err
	}
	if more := len(hooks.take().exchanges); more > 0 {
		return d, fmt.Errorf("commit %.7s had %d hooks more than one", commit, more)
	}
	return d, nil
}

// nextExchange waits until something has passed, which is an answered hook.
func nextExchange(ctx context.Context, hooks *proxy) (began, ended time.Time, err error) {
	const most = time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("none came within %s", most))
	defer cancel()
	for {
		if passed := hooks.take().exchanges; len(passed) > 0 {
			return passed[0].began, passed[0].ended, nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return began, ended, err
		}
	}
}

// hookLatencies is the table of how long it took.
func hookLatencies(series []hookedPush) table {
	return table{
		title:   "From the forge's hook to the first commit status",
		columns: []string{"time", "median", "p90", "p99", "least", "most"},
		rows: quantilesOf(series, []span[hookedPush]{
			{"from the arrival of the hook", func(d hookedPush) time.Duration { return d.seen.Sub(d.came) }},
			{"the answer to the hook", func(d hookedPush) time.Duration { return d.answered.Sub(d.came) }},
			{"the hook, from the return of `git push`", func(d hookedPush) time.Duration { return d.came.Sub(d.ended) }},
			{"from the return of `git push`", func(d hookedPush) time.Duration { return d.seen.Sub(d.ended) }},
		}),
		note: fmt.Sprintf("%d pushes of one changed file, one after the other, to Gitea, whose own signed hook is all that wakes the source; "+
			"once it is answered the statuses of the commit are asked for, %s after each answer, until `validate` is there. The p99 of %d is all but the slowest one.",
			len(series), askAgain, len(series)),
	}
}
