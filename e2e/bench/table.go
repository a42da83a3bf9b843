package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// A table is one part of the report.
type table struct {
	title   string
	columns []string
	rows    [][]string
	// note says what a reader has to know of the figures; may be empty.
	note string
	// flags are what the measurement was told; may be empty.
	flags string
}

// print writes the table as Markdown.
func (t table) print(w io.Writer) {
	fmt.Fprintf(w, "\n### %s\n\n", t.title)
	row := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	row(t.columns)
	rule := make([]string, len(t.columns))
	for i := range rule {
		rule[i] = "---"
	}
	row(rule)
	for _, cells := range t.rows {
		row(cells)
	}
	if t.note != "" {
		fmt.Fprintf(w, "\n%s\n", t.note)
	}
}

// quantile returns the q-quantile of values, 0 <= q <= 1, interpolated linearly
// between the two nearest ones (the default of R and NumPy). values must not be
// empty.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	below := int(math.Floor(at))
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}

func median(values []float64) float64 { return quantile(values, 0.5) }

// milliseconds is a duration for computing with.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// ms writes milliseconds with as many digits as one can rely on.
func ms(v float64) string {
	switch {
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f ms", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f ms", v)
	default:
		return fmt.Sprintf("%.2f ms", v)
	}
}

// duration writes nanoseconds in the unit that suits them.
func duration(ns float64) string {
	switch {
	case ns < 1e4:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.1f µs", ns/1e3)
	case ns < 1e9:
		return ms(ns / 1e6)
	default:
		return fmt.Sprintf("%.2f s", ns/1e9)
	}
}

// size writes a number of bytes, in multiples of 1000.
func size(n float64) string {
	switch {
	case n < 1e4:
		return fmt.Sprintf("%.0f B", n)
	case n < 1e6:
		return fmt.Sprintf("%.1f kB", n/1e3)
	default:
		return fmt.Sprintf("%.1f MB", n/1e6)
	}
}
