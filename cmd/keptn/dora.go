package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/history"
)

// doraFlags are those of keptn dora.
type doraFlags struct {
	source, deployments, incidents string
	notes                          bool
	app, environment               string
	paths                          []string
	window, until                  string
	leadTimeFrom, bands            string
	incidentWindow, format         string
}

func newDora() *cobra.Command {
	var f doraFlags
	cmd := &cobra.Command{
		Use:   "dora",
		Short: "The five DORA metrics from a repository and its deployments",
		Long: `dora computes change lead time, deployment frequency, failed deployment recovery
time, change fail rate and deployment rework rate, by app and environment, with a
trend and the deployments and commits behind the numbers.

Deployments come from a file, one JSON object a line with app, environment, commit,
startedAt, finishedAt and result (success or failure), or from the Git notes that
the controller keeps. A commit that the repository does not have is said at its
deployment, and the rest goes on. What the log has nothing of, as a path that no
delivered commit changes, or an incident's app, is told on standard error.

Exit code: 0 computed, also where the log is empty, 2 could not.`,
		Example: `  keptn dora --deployments deployments.jsonl
  keptn dora --source https://github.com/acme/shop --notes --window 30d --bands 2024
  keptn dora --deployments log.jsonl --app checkout --path apps/checkout -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(f.format); err != nil {
				return err
			}
			rows, err := f.compute(cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr(), time.Now)
			if err != nil {
				return err
			}
			if f.format == formatJSON {
				return printJSON(cmd.OutOrStdout(), rows)
			}
			return printDora(cmd.OutOrStdout(), rows)
		},
	}
	f.add(cmd)
	return cmd
}

func (f *doraFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.source, "source", ".", "folder in a repository, or the repository's URL")
	flags.StringVar(&f.deployments, "deployments", "", "file with deployments, one JSON object a line; - for standard input")
	flags.BoolVar(&f.notes, "notes", false, "take the deployments from the notes in "+forge.NotesRef)
	flags.StringVar(&f.app, "app", "", "only deployments of this app")
	flags.StringVar(&f.environment, "environment", "", "only deployments to this environment")
	flags.StringArrayVar(&f.paths, "path", nil, "count only commits that change this file or folder, named from the repository's root wherever --source is; repeatable, for one app (default all)")
	flags.StringVar(&f.window, "window", "", "count only what finished within this time, as 30d, 4w or 12h (default all)")
	flags.StringVar(&f.until, "until", "", "end of the window, as 2026-11-21T00:00:00Z (default now)")
	flags.StringVar(&f.leadTimeFrom, "lead-time-from", string(dora.FromCommit), "begin of lead times: commit, firstCommit or merge")
	flags.StringVar(&f.bands, "bands", string(dora.NoReport), "compare with the report of 2021, 2023 or 2024, or none")
	flags.StringVar(&f.incidents, "incidents", "", "file with incidents, one JSON object a line; - for standard input")
	flags.StringVar(&f.incidentWindow, "incident-window", "24h", "how long after a deployment an incident is taken for its effect, as 2d or 12h")
	addOutput(cmd, &f.format)
	cmd.MarkFlagsOneRequired("deployments", "notes")
	cmd.MarkFlagsMutuallyExclusive("deployments", "notes")
	for flag, values := range map[string][]string{
		"lead-time-from": {string(dora.FromCommit), string(dora.FromFirstCommit), string(dora.FromMerge)},
		"bands":          {string(dora.Report2021), string(dora.Report2023), string(dora.Report2024), string(dora.NoReport)},
		"window":         {"7d", "30d", "90d"},
	} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that does not exist
	}
}

// compute makes a row of each app and environment, and tells what of the question the
// log has nothing of.
func (f *doraFlags) compute(ctx context.Context, stdin io.Reader, stderr io.Writer, now func() time.Time) ([]doraRow, error) {
	window, err := f.span(now)
	if err != nil {
		return nil, err
	}
	options, err := f.options(stdin)
	if err != nil {
		return nil, err
	}
	// What the files say wrong is said before anything is fetched.
	deployments, err := f.read(stdin)
	if err != nil {
		return nil, err
	}
	repository, done, err := openHistory(ctx, f.source)
	if err != nil {
		return nil, err
	}
	defer done()
	if f.notes {
		if deployments, err = noted(ctx, repository, isURL(f.source)); err != nil {
			return nil, err
		}
	}
	chosen, err := f.choose(deployments)
	if err != nil {
		return nil, err
	}
	watched := &watchedHistory{Repository: repository, touched: map[string]bool{}}
	services, err := dora.Evaluate(ctx, watched, chosen, options)
	if err != nil {
		return nil, err
	}
	for _, told := range slices.Concat(strayIncidents(options.Incidents, deployments, services), watched.untouched(ctx, options.Paths, services)) {
		fmt.Fprintln(stderr, "keptn:", told)
	}
	return f.rows(services, window)
}

func (f *doraFlags) rows(services []dora.Service, window dora.Window) ([]doraRow, error) {
	rows := make([]doraRow, len(services))
	for i := range services {
		var err error
		if rows[i], err = newDoraRow(&services[i], window, dora.Report(f.bands)); err != nil {
			return nil, fmt.Errorf("--bands: %w", err)
		}
	}
	return rows, nil
}

// read reads the file of deployments, if there is one.
func (f *doraFlags) read(stdin io.Reader) ([]dora.Deployment, error) {
	if f.deployments == "" {
		return nil, nil
	}
	return readLog(stdin, f.deployments, dora.ReadDeployments)
}

func (f *doraFlags) options(stdin io.Reader) (dora.Options, error) {
	o := dora.Options{LeadTimeFrom: dora.LeadTimeFrom(f.leadTimeFrom)}
	var err error
	if o.IncidentWindow, err = parseSpan("--incident-window", f.incidentWindow); err != nil {
		return o, err
	}
	for _, p := range f.paths {
		cleaned := path.Clean(p)
		if p == "" || path.IsAbs(cleaned) || cleaned == ".." || strings.HasPrefix(cleaned, "../") {
			return o, fmt.Errorf("--path %q: has to be a path within the repository, from its root", p)
		}
		o.Paths = append(o.Paths, cleaned)
	}
	if f.incidents == "" {
		return o, nil
	}
	if f.incidents == "-" && f.deployments == "-" {
		return o, errors.New("--incidents -: standard input is read for --deployments")
	}
	o.Incidents, err = readLog(stdin, f.incidents, dora.ReadIncidents)
	return o, err
}

// readLog reads a file of JSON lines, or what is piped in for -.
func readLog[T any](stdin io.Reader, file string, read func(io.Reader, string) ([]T, error)) ([]T, error) {
	if file == "-" {
		return read(stdin, "standard input")
	}
	opened, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer opened.Close()
	return read(opened, file)
}

// span is the window that the flags give.
func (f *doraFlags) span(now func() time.Time) (dora.Window, error) {
	var w dora.Window
	var err error
	if f.until != "" {
		if w.End, err = time.Parse(time.RFC3339, f.until); err != nil {
			return w, fmt.Errorf("--until %q: has to be a time as 2026-11-21T00:00:00Z", f.until)
		}
	}
	if f.window == "" {
		return w, nil
	}
	if w.Length, err = parseSpan("--window", f.window); err != nil {
		return w, err
	}
	w.End = cmp.Or(w.End, now())
	return w, nil
}

var days = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)([dw])$`)

// parseSpan reads the duration of a flag in days or weeks, or as Go writes it.
func parseSpan(flag, text string) (time.Duration, error) {
	length, err := time.ParseDuration(text)
	if m := days.FindStringSubmatch(text); m != nil {
		unit := map[string]time.Duration{"d": dora.Day, "w": dora.Week}[m[2]]
		var n float64
		n, err = strconv.ParseFloat(m[1], 64)
		length = time.Duration(n * float64(unit))
		if n > float64(math.MaxInt64/unit) {
			length = 0
		}
	}
	if err != nil || length <= 0 {
		return 0, fmt.Errorf("%s %q: has to be weeks, days or hours, as 4w, 30d or 12h", flag, text)
	}
	return length, nil
}

// openHistory opens the repository that a folder is in, or that a URL names. done ends
// its use.
func openHistory(ctx context.Context, where string) (_ history.Repository, done func(), err error) {
	remote := isURL(where)
	if !remote {
		if where, _, err = rootOf(where); err != nil {
			return history.Repository{}, nil, fmt.Errorf("--source: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "keptn-dora-")
	if err != nil {
		return history.Repository{}, nil, fmt.Errorf("make a folder for Git's objects: %w", err)
	}
	done = func() { _ = os.RemoveAll(dir) } // the system's own cleaning takes what is left
	opened, err := openAt(ctx, dir, where, remote)
	if err != nil {
		done()
		return history.Repository{}, nil, err
	}
	return history.Repository{Repository: opened}, done, nil
}

func openAt(ctx context.Context, dir, where string, remote bool) (*gitsource.Repository, error) {
	store, err := gitsource.NewStore(dir, gitsource.AllowLocalRepositories())
	if err != nil {
		return nil, err
	}
	repository, err := store.Repository(gitsource.Remote{URL: where})
	if err != nil {
		return nil, err
	}
	// One fetch of the default branch brings what single commits would take many for. A
	// folder may have another branch than HEAD's, or none.
	_, err = repository.Fetch(ctx, gitsource.Ref{})
	switch {
	case errors.Is(err, gitsource.ErrNotFound) && !remote:
		return nil, fmt.Errorf("--source %s: is no Git repository, and in none: name a folder of a clone, or a URL", where)
	case err == nil, !remote && errors.Is(err, gitsource.ErrRefNotFound), errors.Is(err, gitsource.ErrEmptyRepository):
		return repository, nil
	default:
		return nil, err
	}
}
