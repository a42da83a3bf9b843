package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

const (
	// statusesPerSecond is more than any measurement asks for.
	statusesPerSecond = "1000"
	// startTimeout and stopTimeout bound how long the controller may take to start
	// and to stop.
	startTimeout = time.Minute
	stopTimeout  = 15 * time.Second
)

// A controller is the controller's process.
type controller struct {
	proc procfs.Proc
	// metrics is where it tells of itself, values where it serves KeptnMetrics.
	metrics, values string
	stop            func() error
}

// settings are what a controller is told beside what all are told.
type settings struct{ flags, variables []string }

// startController runs the controller, with empty storage, until stop is called. The
// returned context ends if it ends before that, and stop then says why.
func (b *bench) startController(ctx context.Context, name string) (context.Context, *controller, error) {
	return b.startControllerWith(ctx, name, settings{})
}

// startControllerWith is startController with settings of one's own.
func (b *bench) startControllerWith(ctx context.Context, name string, more settings) (context.Context, *controller, error) {
	dir := filepath.Join(b.work, name+"-controller")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("start the controller: %w", err)
	}
	var metrics, probe, values string
	for _, address := range []*string{&metrics, &probe, &values} {
		var err error
		if *address, err = freeAddress(ctx); err != nil {
			return nil, nil, err
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, nil, fmt.Errorf("start the controller: %w", err)
	}
	defer log.Close()
	//nolint:noctx // it is to end by SIGTERM, after those who use it
	cmd := exec.Command(b.keptn, "controller", "--storage-dir", filepath.Join(dir, "storage"),
		"--metrics-bind-address", metrics, "--health-probe-bind-address", probe, "--keptn-metrics-bind-address", values,
		"--allow-plain-http-credentials", "--allow-addresses", "127.0.0.0/8", "--statuses-per-second", statusesPerSecond)
	cmd.Args = append(cmd.Args, more.flags...)
	collector, err := b.collector()
	if err != nil {
		return nil, nil, err
	}
	cmd.Env = slices.Concat(untold(os.Environ()), []string{"KUBECONFIG=" + b.bed.kubeconfig}, collector, more.variables)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is for this program to pass on
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("start the controller: %w", err)
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is in its log
		close(ended)
		cancel()
	}()
	c := &controller{
		metrics: "http://" + metrics + "/metrics", values: "http://" + values + "/metrics",
		stop: func() error { return stop(cmd, ended, log.Name()) },
	}
	if c.proc, err = procfs.NewProc(cmd.Process.Pid); err == nil {
		err = errors.Join(awaitReady(running, "http://"+probe+"/readyz"), awaitReady(running, c.metrics)) // which are served by two servers
	}
	if err != nil {
		return nil, nil, errors.Join(err, c.stop())
	}
	return running, c, nil
}

// untold leaves out what whoever runs this program sends their own telemetry by.
func untold(env []string) []string {
	return slices.DeleteFunc(env, func(variable string) bool { return strings.HasPrefix(variable, "OTEL_") })
}

// collector is how config/manager sets Go's garbage collector.
func (b *bench) collector() ([]string, error) {
	text, err := os.ReadFile(filepath.Join(b.root, "config", "manager", "deployment.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read the settings of the controller: %w", err)
	}
	var deployment appsv1.Deployment
	if err := yaml.Unmarshal(text, &deployment); err != nil {
		return nil, fmt.Errorf("read the settings of the controller: %w", err)
	}
	var variables []string
	for _, env := range deployment.Spec.Template.Spec.Containers[0].Env {
		if strings.HasPrefix(env.Name, "GO") {
			variables = append(variables, env.Name+"="+env.Value)
		}
	}
	return variables, nil
}

// stop ends a process, and returns an error if it had ended by itself.
func stop(cmd *exec.Cmd, ended <-chan struct{}, log string) error {
	select {
	case <-ended:
		return fmt.Errorf("the controller ended by itself; its log ends with:\n%s", tail(log))
	default:
	}
	_ = cmd.Process.Signal(syscall.SIGTERM) // if it ends just now, all the better
	select {
	case <-ended:
		return nil
	case <-time.After(stopTimeout):
		_ = cmd.Process.Kill()
		return fmt.Errorf("the controller did not stop within %s", stopTimeout)
	}
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// awaitReady waits until a URL answers 200.
func awaitReady(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the controller was not ready after %s", startTimeout))
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("ask whether the controller is ready: %w", err)
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// tail is the end of a file.
func tail(name string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// usage is what the controller has used so far.
type usage struct {
	at        time.Time
	cpu       time.Duration      // user and system
	requests  map[string]float64 // to the API server, by method
	rss, peak float64            // bytes
	// own is the part of rss that is no page of the program's file, in bytes.
	own float64
}

// apiRequests is how many requests it has made to the API server, by its own count.
func (u usage) apiRequests() float64 {
	var total float64
	for _, n := range u.requests {
		total += n
	}
	return total
}

// usage reads the controller's share of the machine and of the API server.
func (c *controller) usage(ctx context.Context) (usage, error) {
	counted, err := scrape(ctx, http.DefaultClient, c.metrics)
	if err != nil {
		return usage{}, err
	}
	requests := counted.by("rest_client_requests_total", "method")
	if len(requests) == 0 {
		return usage{}, errors.New("the controller does not count its requests to the API server")
	}
	stat, err := c.proc.Stat()
	if err != nil {
		return usage{}, fmt.Errorf("read the controller's CPU time: %w", err)
	}
	status, err := c.proc.NewStatus()
	if err != nil {
		return usage{}, fmt.Errorf("read the controller's memory: %w", err)
	}
	return usage{
		at: time.Now(), cpu: time.Duration(stat.CPUTime() * float64(time.Second)), requests: requests,
		rss: float64(status.VmRSS), peak: float64(status.VmHWM), own: float64(status.RssAnon),
	}, nil
}
