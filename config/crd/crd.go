// Package crd holds the CustomResourceDefinitions that controller-gen makes of
// the API types, so that what the API server refuses is refused on a commit by
// the same words.
package crd

import "embed"

// Files are the definitions, one file a kind, named <group>_<plural>.yaml.
//
//go:embed *_*.yaml
var Files embed.FS
