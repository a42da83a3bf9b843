// Command gen writes the boards into the folder it is given.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/keptn/gitops/config/grafana"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen DIR")
		os.Exit(2)
	}
	for _, board := range grafana.Boards() {
		text, err := board.File()
		if err == nil {
			err = os.WriteFile(filepath.Join(os.Args[1], board.UID+".json"), text, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "gen:", err)
			os.Exit(1)
		}
	}
}
