package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"syscall"
	"time"
)

// commandTimeout bounds a look at all components.
const commandTimeout = 15 * time.Second

// supervisorName is that of the sandbox's first process among the reports.
const supervisorName = "supervisor"

// errDown says that there is no testbed to command.
var errDown = errors.New("the testbed is not up: start it with `go run . up`")

// A report is what is known of a component.
type report struct {
	Name    string  `json:"name"`
	State   string  `json:"state"`
	Pid     int     `json:"pid,omitempty"`
	Address string  `json:"address,omitempty"`
	Healthy bool    `json:"healthy"`
	Seconds float64 `json:"secondsToReady"`
	Error   string  `json:"error,omitempty"`
}

func (s *supervisor) handleReports(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), commandTimeout/2)
	defer cancel()
	look := r.URL.Query().Has("look")
	reports := make([]report, len(s.units))
	var all sync.WaitGroup
	for i, u := range s.units {
		all.Go(func() { reports[i] = u.report(ctx, look) })
	}
	all.Wait()
	if err := json.NewEncoder(w).Encode(reports); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (s *supervisor) handleUnit(do func(context.Context, *unit) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u := s.unit(r.PathValue("name"))
		if u == nil {
			http.Error(w, fmt.Sprintf("no component %q runs here", r.PathValue("name")), http.StatusNotFound)
			return
		}
		if err := do(context.WithoutCancel(r.Context()), u); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	}
}

func (s *supervisor) handleLoad(w http.ResponseWriter, r *http.Request) {
	if s.unit("containerd") == nil {
		http.Error(w, "this testbed has no node to load images into", http.StatusConflict)
		return
	}
	if err := importImage(r.Context(), r.URL.Query().Get("file")); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// call gives the running testbed a command and returns its answer.
func (b *bed) call(ctx context.Context, method, path string) ([]byte, error) {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", b.controlSocket())
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://testbed"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("command the testbed: %w", err)
	}
	res, err := client.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errDown
	}
	if err != nil {
		return nil, fmt.Errorf("command the testbed: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, fmt.Errorf("read the testbed's answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.New(string(bytes.TrimSpace(answer)))
	}
	return answer, nil
}

// reports asks the running testbed how its components are, by the process ids of
// this machine; look has it ask each component anew.
func (b *bed) reports(ctx context.Context, look bool) ([]report, error) {
	path := "/reports"
	if look {
		path += "?look"
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	answer, err := b.call(ctx, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	var reports []report
	if err := json.Unmarshal(answer, &reports); err != nil {
		return nil, fmt.Errorf("read the testbed's answer: %w", err)
	}
	cgroups, err := b.cgroups()
	if err != nil {
		return nil, err
	}
	pids, err := cgroups.Processes()
	if err != nil {
		return nil, err
	}
	for i := range reports {
		reports[i].Pid = pids[reports[i].Pid]
	}
	supervisor := report{Name: supervisorName, State: stateRunning, Pid: pids[1], Healthy: true}
	return append([]report{supervisor}, reports...), nil
}

// load imports the images of an archive into the node. It gives the testbed a copy,
// as the archive may lie where the sandbox has other files.
func (b *bed) load(ctx context.Context, archive string) error {
	from, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("read images: %w", err)
	}
	defer from.Close()
	copied, err := os.CreateTemp(b.path("tmp"), "load-*.tar")
	if errors.Is(err, fs.ErrNotExist) {
		return errDown
	}
	if err != nil {
		return fmt.Errorf("copy images: %w", err)
	}
	defer os.Remove(copied.Name())
	defer copied.Close()
	if _, err := io.Copy(copied, from); err != nil {
		return fmt.Errorf("copy %s: %w", archive, err)
	}
	if _, err := b.call(ctx, http.MethodPost, "/load?file="+url.QueryEscape(copied.Name())); err != nil {
		return fmt.Errorf("%s: %w", archive, err)
	}
	return nil
}

// switchTo starts or stops one component.
func (b *bed) switchTo(ctx context.Context, verb, name string) error {
	_, err := b.call(ctx, http.MethodPost, "/"+verb+"/"+url.PathEscape(name))
	return err
}
