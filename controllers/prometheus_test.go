package controllers_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// prometheus answers queries with the values that were set, in Prometheus' own
// format (https://prometheus.io/docs/prometheus/latest/querying/api/).
type prometheus struct {
	mu      sync.Mutex
	answers map[string][]answer
	user    string
	secret  string
	status  int
	asked   map[string]int
	held    <-chan struct{}
}

// An answer is what a query yields from a second on.
type answer struct {
	since time.Time
	value string
}

// set has a query answered by a value, or by one per series where they are
// separated by blanks; an empty one is no series. The first answer is as old as
// time, each further one holds from this second on.
func (p *prometheus) set(query, value string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := answer{value: value}
	if len(p.answers[query]) > 0 {
		next.since = time.Now().Truncate(time.Second)
	}
	p.answers[query] = append(p.answers[query], next)
}

// fail has every query answered by an HTTP status; 0 heals it.
func (p *prometheus) fail(status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = status
}

// protect asks every query for these credentials.
func (p *prometheus) protect(user, password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.user, p.secret = user, password
}

// wait has every query wait until the channel is closed.
func (p *prometheus) wait(until <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = until
}

func (p *prometheus) isAsked() bool { return p.questions() > 0 }

// questions is how many were asked so far.
func (p *prometheus) questions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := 0
	for _, n := range p.asked {
		all += n
	}
	return all
}

func (p *prometheus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.FormValue("query")
	p.mu.Lock()
	if p.asked == nil {
		p.asked = map[string]int{}
	}
	p.asked[query]++
	held := p.held
	p.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.status != 0 {
		w.WriteHeader(p.status)
		return
	}
	if user, password, _ := r.BasicAuth(); user != p.user || password != p.secret {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	kind, value, times := "vector", "value", []json.RawMessage{json.RawMessage(r.FormValue("time"))}
	if r.FormValue("end") != "" {
		kind, value, times = "matrix", "values", []json.RawMessage{json.RawMessage(r.FormValue("start")), json.RawMessage(r.FormValue("end"))}
	}
	result := []any{}
	for i, text := range strings.Fields(p.at(query, times[len(times)-1])) {
		metric := map[string]string{}
		if i > 0 {
			metric["pod"] = fmt.Sprintf("checkout-%d", i)
		}
		var samples []any
		for _, at := range times {
			samples = append(samples, []any{at, text})
		}
		if kind == "vector" {
			samples = samples[0].([]any)
		}
		result = append(result, map[string]any{"metric": metric, value: samples})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": "success", "data": map[string]any{"resultType": kind, "result": result},
	})
}

// at is what a query yields at a time, in seconds since 1970.
func (p *prometheus) at(query string, text json.RawMessage) string {
	seconds, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return ""
	}
	whole, part := math.Modf(seconds)
	at := time.Unix(int64(whole), int64(part*1e9))
	value := ""
	for _, a := range p.answers[query] {
		if !a.since.After(at) {
			value = a.value
		}
	}
	return value
}
