package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A pod is what Prometheus needs to know of one.
type pod struct {
	Metadata struct {
		Name, Namespace, ResourceVersion string
		Labels, Annotations              map[string]string
	}
	Spec struct {
		Containers []struct {
			Ports []struct{ ContainerPort int }
		}
	}
	Status struct{ Phase, PodIP string }
}

// A target is one entry of the file that Prometheus reads its targets from.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// The annotations by which a pod asks to be scraped.
const (
	annotationScrape = "prometheus.io/scrape"
	annotationPort   = "prometheus.io/port"
	annotationPath   = "prometheus.io/path"
	annotationScheme = "prometheus.io/scheme"
)

// noLabelName is what a metric's label name cannot contain.
var noLabelName = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// targetOf is how a pod is scraped, if it asks to be.
func targetOf(p pod) (target, bool) {
	a := p.Metadata.Annotations
	if a[annotationScrape] != "true" || p.Status.PodIP == "" || p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed" {
		return target{}, false
	}
	port := a[annotationPort]
	for _, c := range p.Spec.Containers {
		if port == "" && len(c.Ports) > 0 {
			port = fmt.Sprint(c.Ports[0].ContainerPort)
		}
	}
	if port == "" {
		return target{}, false
	}
	labels := map[string]string{}
	for name, value := range p.Metadata.Labels {
		labels[noLabelName.ReplaceAllString(name, "_")] = value
	}
	labels["namespace"], labels["pod"] = p.Metadata.Namespace, p.Metadata.Name
	if path := a[annotationPath]; path != "" {
		labels["__metrics_path__"] = path
	}
	if scheme := a[annotationScheme]; scheme != "" {
		labels["__scheme__"] = scheme
	}
	return target{Targets: []string{net.JoinHostPort(p.Status.PodIP, port)}, Labels: labels}, true
}

// followPods keeps Prometheus's targets as the cluster's pods are, as long as the
// testbed lives; while the API server is away they stay as they were.
func followPods(ctx context.Context, b *bed) error {
	k, err := newKube(b)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		// A watch ends from time to time, and is begun anew with a fresh list.
		if err := followOnce(ctx, b, k); err != nil {
			fmt.Fprintf(os.Stderr, "follow pods: %v\n", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return ctx.Err()
}

func followOnce(ctx context.Context, b *bed, k *kube) error {
	var list struct {
		Metadata struct{ ResourceVersion string }
		Items    []pod
	}
	if err := k.get(ctx, "/api/v1/pods", &list); err != nil {
		return err
	}
	known := map[string]target{}
	for _, p := range list.Items {
		note(known, p, false)
	}
	if err := b.writeTargets(known); err != nil {
		return err
	}
	events, err := k.open(ctx, "/api/v1/pods?watch=true&resourceVersion="+list.Metadata.ResourceVersion)
	if err != nil {
		return err
	}
	defer events.Close()
	decoder := json.NewDecoder(events)
	for {
		var event struct {
			Type   string
			Object pod
		}
		if err := decoder.Decode(&event); err != nil {
			return fmt.Errorf("read pod events: %w", err)
		}
		if event.Type == "ERROR" {
			return fmt.Errorf("the API server ended the watch")
		}
		if !note(known, event.Object, event.Type == "DELETED") {
			continue
		}
		if err := b.writeTargets(known); err != nil {
			return err
		}
	}
}

// note takes a pod's news into account, and tells whether they change a target.
func note(known map[string]target, p pod, deleted bool) bool {
	key := p.Metadata.Namespace + "/" + p.Metadata.Name
	now, wanted := targetOf(p)
	before, was := known[key]
	if deleted || !wanted {
		delete(known, key)
		return was
	}
	known[key] = now
	return !was || before.Targets[0] != now.Targets[0]
}

// writeTargets replaces the file of targets in one step.
func (b *bed) writeTargets(known map[string]target) error {
	list := make([]target, 0, len(known))
	for _, t := range known {
		list = append(list, t)
	}
	slices.SortFunc(list, func(x, y target) int { return strings.Compare(x.Targets[0], y.Targets[0]) })
	text, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode targets: %w", err)
	}
	if err := b.write("targets/pods.next", string(text)); err != nil {
		return err
	}
	if err := os.Rename(b.path("targets", "pods.next"), b.targetsFile()); err != nil {
		return fmt.Errorf("replace targets: %w", err)
	}
	return nil
}
