package dora

import "time"

// Day, Week and Month are spans of a [Window] and of a trend. A month has 30 days, as in
// the reports that [Metrics.Bands] compares with.
const (
	Day   = 24 * time.Hour
	Week  = 7 * Day
	Month = 30 * Day
)

// A Point is a part of a trend.
type Point struct {
	// From is not part of it, To is.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// The numbers are those of [Metrics].
	Deployments       int       `json:"deployments"`
	FailedDeployments int       `json:"failedDeployments"`
	LeadTime          LeadTimes `json:"leadTime"`
	ChangeFailRate    *float64  `json:"changeFailRate"`
	Recovery          Recovery  `json:"recovery"`
	ReworkRate        *float64  `json:"reworkRate"`
}

// maxPoints bounds a trend.
const maxPoints = 1000

// Trend sums up each part of a window that has a length and an end. The oldest part comes
// first. All have a span, as a week or a day, and the last one ends with the window; the
// first begins with it, and is shorter where the window is no multiple of the span. So
// their deployments add up to the window's, but for a window of more than 1,000 parts, of
// which the last ones are told.
func (s *Service) Trend(w Window, span time.Duration) []Point {
	if w.from().IsZero() || span <= 0 {
		return []Point{}
	}
	parts := int(min(maxPoints, (w.Length-1)/span+1)) // rounded up
	points := make([]Point, parts)
	for i := range points {
		after := time.Duration(parts-1-i) * span
		part := Window{End: w.End.Add(-after), Length: min(span, w.Length-after)}
		m := s.Metrics(part)
		points[i] = Point{
			From: part.from(), To: part.End,
			Deployments: m.Deployments, FailedDeployments: m.FailedDeployments, LeadTime: m.LeadTime,
			ChangeFailRate: m.ChangeFailRate, Recovery: m.Recovery, ReworkRate: m.ReworkRate,
		}
	}
	return points
}
