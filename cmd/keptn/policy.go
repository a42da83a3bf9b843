package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keptn/gitops/api/gitops/v1alpha1"
	"github.com/keptn/gitops/check"
	"github.com/keptn/gitops/gitsource/manifest"
)

func newPolicy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Try out SLO policies",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyEval(), newPolicyTest(), newPolicyRules())
	return cmd
}

// A foundPolicy is a policy, and the file that it is in.
type foundPolicy struct {
	v1alpha1.SLOPolicy
	file string
	// made says that it is no SLOPolicy there but an SLO of OpenSLO.
	made bool
	// lifecycle is the only Lifecycle of the file, or nil.
	lifecycle *v1alpha1.Lifecycle
}

// readPolicies reads all policies of a file, none of which may have a mistake.
func readPolicies(name string) ([]foundPolicy, error) {
	if _, err := os.Stat(name); err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	dir, base := filepath.Split(filepath.Clean(name))
	file, problems, err := check.File(os.DirFS(filepath.Clean(dir)), base)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if problems.HasErrors() {
		for i := range problems {
			problems[i].File = filepath.Join(dir, problems[i].File)
		}
		return nil, problems
	}
	var found []foundPolicy
	var lifecycle *v1alpha1.Lifecycle
	if len(file.Lifecycles) == 1 {
		lifecycle = &file.Lifecycles[0]
	}
	for _, p := range file.Policies {
		_, written := file.Position(v1alpha1.SLOPolicyKind, p.Name, "spec", 1, 1)
		found = append(found, foundPolicy{SLOPolicy: p, file: name, made: !written, lifecycle: lifecycle})
	}
	return found, nil
}

// holdsPolicy matches a file that means to hold an SLOPolicy, or an SLO of OpenSLO.
var holdsPolicy = regexp.MustCompile(`\bkind["']?:\s*["']?(SLOPolicy|SLO)\b`)

// policiesIn reads all policies of a folder: of its lifecycle.yaml, and of other
// YAML files with any.
func policiesIn(dir string) ([]foundPolicy, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("find policies: %w", err)
	}
	var all []foundPolicy
	for _, entry := range entries {
		if !entry.Type().IsRegular() || filepath.Ext(entry.Name()) != ".yaml" || isTest(entry.Name()) {
			continue
		}
		name := filepath.Join(dir, entry.Name())
		if entry.Name() != manifest.FileName {
			data, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("find policies: %w", err)
			}
			if !holdsPolicy.Match(data) {
				continue
			}
		}
		found, err := readPolicies(name)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// readPolicy reads the policy of that name from a file; without a name the file
// has to hold exactly one.
func readPolicy(file, name string) (*foundPolicy, error) {
	found, err := readPolicies(file)
	if err != nil {
		return nil, err
	}
	return choosePolicy(found, file, name, "--name")
}

// choosePolicy is the policy of that name; or without a name the only SLOPolicy, or
// where there is none the only policy. For an error, where is what holds them, and by
// is what gives the name.
func choosePolicy(policies []foundPolicy, where, name, by string) (*foundPolicy, error) {
	var written, named []*foundPolicy
	var names []string
	for i := range policies {
		p := &policies[i]
		if name == "" || p.Name == name {
			named = append(named, p)
		}
		if name == "" && !p.made {
			written = append(written, p)
		}
		names = append(names, p.Name)
	}
	if len(written) > 0 {
		named = written
	}
	switch {
	case len(named) == 1:
		return named[0], nil
	case len(names) == 0:
		return nil, fmt.Errorf("%s holds no %s", where, v1alpha1.SLOPolicyKind)
	case len(named) == 0:
		return nil, fmt.Errorf("%s holds no policy %q: it has %s", where, name, strings.Join(names, ", "))
	case name == "":
		return nil, fmt.Errorf("%s holds several policies: choose one with %s: %s", where, by, strings.Join(names, ", "))
	default:
		return nil, fmt.Errorf("%s holds several policies named %q, in %s and %s: rename one", where, name, named[0].file, named[1].file)
	}
}
