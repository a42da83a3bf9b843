package main

import (
	"io"
	"log"
	"strings"
	"testing"
)

func TestKeptnAndGitFindTheSameCommitsOfADelivery(t *testing.T) {
	b := &bench{work: t.TempDir(), progress: log.New(io.Discard, "", 0)}
	url, stop, err := serveGit(t.Context(), b.work)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	got, err := history{commits: 40, fresh: 16, apps: 3, oneIn: 4}.leadTimes(t.Context(), b, url) // which compares them
	if err != nil {
		t.Fatal(err)
	}
	if len(got.rows) != 5 {
		t.Fatalf("%d rows, want git's, that of the opening and three of Keptn", len(got.rows))
	}
	for _, row := range got.rows {
		if len(row) != len(got.columns) {
			t.Errorf("a row of %d cells, and there are %d columns: %q", len(row), len(got.columns), row)
		}
		if strings.HasPrefix(row[0], "opening") {
			continue
		}
		if row[4] != "4" {
			t.Errorf("%s: %s commits of the app, want one in four of 16", row[0], row[4])
		}
	}
}
