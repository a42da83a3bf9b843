package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// A manifest is a file with one object, as the module of a component carries it.
type manifest struct {
	kind, name string
	text       []byte
}

// What of a manifest tells where in the API its object belongs.
var (
	manifestKind = regexp.MustCompile(`(?m)^kind: (\S+)$`)
	manifestName = regexp.MustCompile(`(?m)^  name: (\S+)$`)
)

// readManifests reads the files that a pattern matches, leaving out what Kustomize
// reads of them.
func readManifests(pattern string) ([]manifest, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("list manifests: %w", err)
	}
	var manifests []manifest
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read a manifest: %w", err)
		}
		kind, name := manifestKind.FindSubmatch(text), manifestName.FindSubmatch(text)
		if kind == nil || name == nil {
			return nil, fmt.Errorf("%s is no object: it has no kind or no name", file)
		}
		manifests = append(manifests, manifest{kind: string(kind[1]), name: string(name[1]), text: text})
	}
	if len(manifests) == 0 {
		return nil, fmt.Errorf("no file matches %s", pattern)
	}
	return manifests, nil
}

// applyManifests makes the objects of a pattern's files, each below the API path of
// its kind, and returns when the kinds that they define are served.
func (k *kube) applyManifests(ctx context.Context, pattern string, paths map[string]string) error {
	manifests, err := readManifests(pattern)
	if err != nil {
		return err
	}
	for _, m := range manifests {
		path, ok := paths[m.kind]
		if !ok {
			return fmt.Errorf("the testbed makes no %s, as %s is", m.kind, m.name)
		}
		if err := k.applyText(ctx, path+m.name, m.text); err != nil {
			return err
		}
	}
	for _, m := range manifests {
		if path := paths[m.kind]; path == crdPath {
			if err := eventually(ctx, func(ctx context.Context) error { return k.established(ctx, m.name) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// crdPath is the API path of the definitions of kinds.
const crdPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"

// established tells whether the API server serves the kind that a definition defines.
func (k *kube) established(ctx context.Context, name string) error {
	var crd struct {
		Status struct {
			Conditions []struct{ Type, Status string }
		}
	}
	if err := k.get(ctx, crdPath+name, &crd); err != nil {
		return err
	}
	for _, c := range crd.Status.Conditions {
		if c.Type == "Established" && c.Status == "True" {
			return nil
		}
	}
	return errors.New(name + " is not yet served")
}
