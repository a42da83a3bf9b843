package chaos_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
)

// restAfterEnd is how long a replica rests that has ended by itself, as one does that
// has lost its lease.
const restAfterEnd = time.Second

// leads is what a controller that leads says among its metrics.
const leads = `leader_election_master_status{name="keptn-gitops"} 1`

// A replica is one of the controllers: a process that is started again whenever it
// has ended, as a kubelet would.
type replica struct {
	name    string
	metrics string // its address
	log     string // its file
	command func() *exec.Cmd

	mu      sync.Mutex
	process *os.Process // nil while it rests
	rest    time.Duration
	killed  bool
	ends    int // by itself
}

// newReplica returns a replica of the binary that works below dir.
func newReplica(name, binary, dir string) (*replica, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	return &replica{
		name: name, metrics: "http://" + address + "/metrics", log: filepath.Join(dir, name+".log"),
		command: func() *exec.Cmd {
			return exec.Command(binary, "controller", "--leader-elect", "--namespace=keptn-system", "--cluster-name=chaos",
				"--storage-dir", filepath.Join(dir, name), "--metrics-bind-address", address,
				"--health-probe-bind-address=0", "--keptn-metrics-bind-address=0")
		},
	}, nil
}

// keep has the replica run until ctx ends.
func (r *replica) keep(ctx context.Context) error {
	log, err := os.Create(r.log)
	if err != nil {
		return fmt.Errorf("log of %s: %w", r.name, err)
	}
	defer log.Close()
	for ctx.Err() == nil {
		cmd := r.command()
		cmd.Stdout, cmd.Stderr = log, log
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start %s: %w", r.name, err)
		}
		r.began(cmd.Process)
		over := context.AfterFunc(ctx, func() { r.kill(0) })
		ended := cmd.Wait()
		over()
		select {
		case <-time.After(r.ended(ended)):
		case <-ctx.Done():
		}
	}
	return nil
}

func (r *replica) began(process *os.Process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process, r.killed = process, false
}

// ended returns how long the replica rests now.
func (r *replica) ended(how error) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process = nil
	if r.killed {
		return r.rest
	}
	r.ends++
	fmt.Fprintf(GinkgoWriter, "%s ended by itself: %v\n", r.name, how)
	return restAfterEnd
}

// kill ends the replica, which then rests, and says whether it ran.
func (r *replica) kill(rest time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.process == nil {
		return false
	}
	r.killed, r.rest = true, rest
	return r.process.Kill() == nil
}

// leading asks the replica whether it leads. One that does not answer does not.
func (r *replica) leading(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.metrics, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	return err == nil && strings.Contains(string(said), leads)
}
