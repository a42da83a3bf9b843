package policy

import (
	"math"
	"strconv"
	"strings"
)

// significant is how many digits a number is shown with, unless it takes more to
// tell it from the one that it is compared with.
const significant = 4

// formatNumber shows a number to people: 412, 0.0123, 1250000, NaN.
func formatNumber(v float64) string { return formatDigits(v, significant) }

// formatDigits shows a number with that many significant digits at least.
func formatDigits(v float64, digits int) string {
	abs := math.Abs(v)
	if math.IsNaN(v) || math.IsInf(v, 0) || abs != 0 && (abs < 1e-4 || abs >= 1e15) {
		return strconv.FormatFloat(v, 'g', digits, 64)
	}
	decimals := 0
	if abs != 0 {
		decimals = max(0, digits-1-int(math.Floor(math.Log10(abs))))
	}
	return trimZeros(strconv.FormatFloat(v, 'f', decimals, 64))
}

// formatPercent shows a fraction as a percentage, with two decimals, or more
// where it takes them to tell it from 0% and 100%.
func formatPercent(fraction float64) string { return formatDecimals(fraction, 2) }

// formatDecimals shows a fraction as a percentage with that many decimals at
// least.
func formatDecimals(fraction float64, decimals int) string {
	percent := fraction * 100
	text := trimZeros(strconv.FormatFloat(percent, 'f', decimals, 64))
	for decimals < 12 && (text == "0" && fraction != 0 || text == "-0" || text == "100" && fraction != 1) {
		decimals++
		text = trimZeros(strconv.FormatFloat(percent, 'f', decimals, 64))
	}
	return text + "%"
}

// formatPair shows two numbers, with enough digits to tell them apart.
func formatPair(a, b float64, asPercent bool) (left, right string) {
	format, digits := formatDigits, significant
	if asPercent {
		format, digits = formatDecimals, 2
	}
	for {
		left, right = format(a, digits), format(b, digits)
		if left != right || a == b || digits > 17 {
			return left, right
		}
		digits++
	}
}

// formatExact shows a number in full.
func formatExact(v float64) string {
	abs := math.Abs(v)
	if abs != 0 && (abs < 1e-6 || abs >= 1e15) {
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func trimZeros(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}
