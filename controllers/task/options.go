package task

import "cmp"

// The images that scripts run in where Options names no others: those that the
// makers of Deno and of Python publish. The command is ours, so that any image
// with deno, or python3, in its PATH can take their place.
const (
	DenoImage   = "docker.io/denoland/deno:alpine-2.9.6"
	PythonImage = "docker.io/library/python:3.14-alpine"
)

// Options are what the program's flags decide.
type Options struct {
	// Namespace is Keptn's own, where definitions are looked up that the namespace
	// of a task does not have. Empty: nowhere.
	Namespace string
	// DenoImage is what scripts for Deno run in. Default: DenoImage.
	DenoImage string
	// PythonImage is what scripts for Python run in. Default: PythonImage.
	PythonImage string
}

func (o Options) denoImage() string   { return cmp.Or(o.DenoImage, DenoImage) }
func (o Options) pythonImage() string { return cmp.Or(o.PythonImage, PythonImage) }
