package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/keptn/gitops/controllers/task"
)

func TestFlagsNameTheImagesThatScriptsRunIn(t *testing.T) {
	cases := map[string]struct {
		reason string
		args   []string
		want   task.Options
	}{
		"Neither": {"The makers' images are the default.", nil, task.Options{DenoImage: task.DenoImage, PythonImage: task.PythonImage}},
		"Both":    {"Each language has its own flag.", []string{"--deno-image=d:1", "--python-image=p:1"}, task.Options{DenoImage: "d:1", PythonImage: "p:1"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var flags controllerFlags
			set := pflag.NewFlagSet("controller", pflag.ContinueOnError)
			flags.add(set)
			if err := set.Parse(c.args); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, flags.settings().Tasks); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.reason, diff)
			}
		})
	}
}
