package gitops

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/manifest"
)

func problem(file string, severity manifest.Severity, message string) manifest.Problem {
	return manifest.Problem{File: file, Line: 3, Column: 5, Severity: severity, Message: message}
}

func TestACopyIsKeptWhereItsOriginCannotBeRead(t *testing.T) {
	cases := map[string]struct {
		reason  string
		problem manifest.Problem
		want    bool
	}{
		"ItsFile":        {"What it would hold is not known.", problem("base/lifecycle.yaml", manifest.Error, ""), true},
		"ItsFolder":      {"What is rendered there is not known.", problem("envs/prod/deployment.yaml", manifest.Error, ""), true},
		"Above":          {"The folder above may lead to it.", problem("envs/kustomization.yaml", manifest.Error, ""), true},
		"Root":           {"So may the root.", problem("kustomization.yaml", manifest.Error, ""), true},
		"Unread":         {"A kustomization that cannot be read hides apps.", problem("envs/prod/kustomization.yaml", manifest.Warning, ""), true},
		"Warning":        {"A warning hides nothing.", problem("base/lifecycle.yaml", manifest.Warning, ""), false},
		"OtherApp":       {"Another app's mistake is no reason.", problem("envs/staging/kustomization.yaml", manifest.Error, ""), false},
		"SimilarlyNamed": {"Names are compared whole.", problem("envs/prod2/kustomization.yaml", manifest.Error, ""), false},
	}
	copied := map[string]string{gitopsv1alpha1.FileAnnotation: "base/lifecycle.yaml", gitopsv1alpha1.PathAnnotation: "envs/prod"}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := inDoubt(manifest.Problems{tc.problem}, copied); got != tc.want {
				t.Errorf("%s\ngot %t", tc.reason, got)
			}
		})
	}
}

func TestARemoteIsLookedAtAgainInTime(t *testing.T) {
	unreachable := fmt.Errorf("fetch: %w", gitsource.ErrUnreachable)
	cases := map[string]struct {
		reason   string
		look     look
		interval time.Duration
		want     time.Duration
	}{
		"Good":     {"The interval is the author's.", look{}, time.Minute, time.Minute},
		"Refused":  {"Only a person can help, so there is no hurry.", look{err: gitsource.ErrUnauthorized, failures: 1}, time.Minute, time.Minute},
		"First":    {"It may have been a moment.", look{err: unreachable, failures: 1}, time.Minute, time.Second},
		"Fourth":   {"Each pause is twice the last.", look{err: unreachable, failures: 4}, time.Minute, 8 * time.Second},
		"Many":     {"It is never longer than the interval.", look{err: unreachable, failures: 1000}, time.Minute, time.Minute},
		"Short":    {"Not even the first.", look{err: unreachable, failures: 1}, 100 * time.Millisecond, 100 * time.Millisecond},
		"Lender":   {"Its coming wakes the source.", look{err: fmt.Errorf("spec.sourceRef: %w", repository.ErrNoLender), failures: 1}, time.Minute, time.Minute},
		"SHA256":   {"It will not become another repository.", look{err: gitsource.ErrObjectFormat, failures: 1}, time.Minute, time.Minute},
		"Disk":     {"Whoever has made room need not wait.", look{err: gitsource.ErrDisk, failures: 2}, time.Minute, 2 * time.Second},
		"Anything": {"What nobody foresaw is tried again soon too.", look{err: errors.New("disk full"), failures: 2}, time.Minute, 2 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.look.wait(tc.interval); got != tc.want {
				t.Errorf("%s\ngot %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
}

func TestPoliciesOfOneNameInSeveralFilesAreSeveralObjects(t *testing.T) {
	file := func(path string, policies ...string) *manifest.File {
		f := &manifest.File{Path: path}
		for _, name := range policies {
			p := gitopsv1alpha1.SLOPolicy{}
			p.Name = name
			f.Policies = append(f.Policies, p)
		}
		return f
	}
	names := policyNames([]*manifest.File{file("a/lifecycle.yaml", "slo", "alone"), file("b/lifecycle.yaml", "slo")})
	seen := map[string]bool{}
	for in, name := range names {
		if in.name == "alone" && name != "alone" || in.name == "slo" && !strings.HasPrefix(name, "slo-") {
			t.Errorf("%v is called %s", in, name)
		}
		seen[name] = true
	}
	if len(seen) != 3 {
		t.Errorf("want three names, got %v", seen)
	}
}
