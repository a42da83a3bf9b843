package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

const (
	// defaultSeed is that of the faults' sequence, where the variable names no other.
	defaultSeed  = 1
	seedVariable = "CHAOS_SEED"
	// rounds is in how many rounds at most each kind of fault happens once.
	rounds = 3
	// leaderTimeout bounds how long no controller may lead: a lease is good for 15 s.
	leaderTimeout = 2 * time.Minute
)

// A fault is what happens to the cluster or to the controller.
type fault struct {
	kind kind
	// after is how long before it a controller has led.
	after time.Duration
	// lasts is for how long a controller stays dead, or etcd stands still.
	lasts time.Duration
	// replica is which controller is killed, where it is not the leader.
	replica int
}

type kind string

// The kinds of faults.
const (
	killController kind = "kill a controller"
	killLeader     kind = "kill the leader"
	stopEtcd       kind = "stop etcd"
	killAPIServer  kind = "kill the API server"
)

func (f fault) String() string {
	text := fmt.Sprintf("after %s %s", f.after, f.kind)
	if f.kind == killController {
		text += fmt.Sprintf(" (%d)", f.replica)
	}
	if f.kind != killAPIServer {
		text += fmt.Sprintf(" for %s", f.lasts)
	}
	return text
}

// seed is what the sequence of faults follows from.
func seed() (uint64, error) {
	text, ok := os.LookupEnv(seedVariable)
	if !ok {
		return defaultSeed, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s has to be a number: %w", seedVariable, err)
	}
	return n, nil
}

// sequence is what happens, as a seed has it: in each round each kind of fault once.
func sequence(seed uint64, replicas int) []fault {
	random := rand.New(rand.NewPCG(seed, 0))
	between := func(from, to time.Duration) time.Duration {
		return (from + time.Duration(random.Int64N(int64(to-from)))).Round(time.Millisecond)
	}
	var all []fault
	for range rounds {
		kinds := []kind{killController, killLeader, stopEtcd, killAPIServer}
		random.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		for _, k := range kinds {
			f := fault{kind: k, after: between(100*time.Millisecond, time.Second), replica: random.IntN(replicas)}
			switch {
			case k == stopEtcd:
				f.lasts = between(time.Second, 3*time.Second)
			case random.IntN(2) == 0:
				f.lasts = between(time.Second, 4*time.Second)
			}
			all = append(all, f)
		}
	}
	return all
}

// written is a sequence as a report shows it.
func written(seed uint64, faults []fault) string {
	lines := []string{fmt.Sprintf("%s=%d", seedVariable, seed)}
	for _, f := range faults {
		lines = append(lines, f.String())
	}
	return strings.Join(lines, "\n")
}

// strike has a fault happen, once a controller has led for as long as it says.
func (w *world) strike(ctx context.Context, f fault) {
	GinkgoHelper()
	Eventually(ctx, w.leader).WithTimeout(leaderTimeout).ShouldNot(BeNil(), "no controller leads")
	time.Sleep(f.after)
	switch f.kind {
	case killLeader:
		Eventually(ctx, func(ctx context.Context) bool {
			leader := w.leader(ctx)
			return leader != nil && leader.kill(f.lasts)
		}).WithTimeout(leaderTimeout).Should(BeTrue(), "no controller leads")
	case killController:
		victim := w.replicas[f.replica]
		Eventually(ctx, func() bool { return victim.kill(f.lasts) }).Should(BeTrue(), "%s is never up", victim.name)
	case stopEtcd:
		etcd := w.pids["etcd"]
		Expect(syscall.Kill(etcd, syscall.SIGSTOP)).To(Succeed())
		time.Sleep(f.lasts)
		Expect(syscall.Kill(etcd, syscall.SIGCONT)).To(Succeed())
	case killAPIServer:
		w.restartAPIServer(ctx)
	}
}

// leader is the controller that leads, or nil where none does.
func (w *world) leader(ctx context.Context) *replica {
	for _, r := range w.replicas {
		if r.leading(ctx) {
			return r
		}
	}
	return nil
}

// restartAPIServer kills the API server and starts it again. The testbed starts
// nothing again by itself: neither the API server, nor what ends for want of it.
func (w *world) restartAPIServer(ctx context.Context) {
	GinkgoHelper()
	const name = "kube-apiserver"
	before := w.pids[name]
	Expect(syscall.Kill(before, syscall.SIGKILL)).To(Succeed())
	Eventually(ctx, func(ctx context.Context) error {
		if err := w.bed.Start(ctx, name); err != nil {
			return err
		}
		components, err := w.bed.Components(ctx)
		if err != nil {
			return err
		}
		if pid := components[name].Pid; pid == 0 || pid == before {
			return fmt.Errorf("%s has process %d, as before or none", name, pid)
		}
		for _, c := range components {
			if c.Pid == 0 {
				fmt.Fprintf(GinkgoWriter, "%s is started again: %s\n", c.Name, c.Error)
				if err := w.bed.Start(ctx, c.Name); err != nil {
					return err
				}
			}
		}
		return w.look(ctx)
	}).WithTimeout(2 * time.Minute).Should(Succeed())
}

// look notes the processes of the testbed, all of which have to run.
func (w *world) look(ctx context.Context) error {
	components, err := w.bed.Components(ctx)
	if err != nil {
		return err
	}
	for _, c := range components {
		if c.Pid == 0 {
			return fmt.Errorf("%s does not run: %s", c.Name, c.Error)
		}
		w.pids[c.Name] = c.Pid
	}
	return nil
}
