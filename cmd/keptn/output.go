package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// The formats that commands print.
const (
	formatText = "text"
	formatJSON = "json"
)

// addOutput adds the flag -o to a command.
func addOutput(cmd *cobra.Command, format *string) {
	cmd.Flags().StringVarP(format, "output", "o", formatText, "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formatText, formatJSON}, cobra.ShellCompDirectiveNoFileComp)) // fails only for a flag that does not exist
}

// checkOutput refuses formats that are not known.
func checkOutput(format string) error {
	if format != formatText && format != formatJSON {
		return fmt.Errorf("-o %q: has to be %s or %s", format, formatText, formatJSON)
	}
	return nil
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// colours of results, on a terminal.
var colours = map[string]string{
	"pass": "\x1b[32m", "warning": "\x1b[33m", "fail": "\x1b[31m", "error": "\x1b[31m", "inconclusive": "\x1b[35m",
}

// painted colours a word by its meaning, if w is a terminal and NO_COLOR is not
// set (https://no-color.org).
func painted(w io.Writer, meaning, text string) string {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || !term.IsTerminal(int(file.Fd())) { //nolint:gosec // a file descriptor fits
		return text
	}
	return colours[meaning] + text + "\x1b[0m"
}
