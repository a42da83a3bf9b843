package dora

import (
	"fmt"
	"time"
)

// A Report is a year's State of DevOps report with its clusters of performance. There is
// no later one: from 2025 on there are distributions in their place.
type Report string

// The reports with clusters that are known, and none of them.
const (
	NoReport   Report = "none"
	Report2021 Report = "2021"
	Report2023 Report = "2023"
	Report2024 Report = "2024"
)

// A Level is a cluster of performance.
type Level string

// The levels, best first.
const (
	Elite  Level = "elite"
	High   Level = "high"
	Medium Level = "medium"
	Low    Level = "low"
)

// Bands are the levels of single metrics; one is empty where there is no number. The
// reports have none for the rework rate.
type Bands struct {
	Report              Report `json:"report"`
	LeadTime            Level  `json:"leadTime,omitempty"`
	DeploymentFrequency Level  `json:"deploymentFrequency,omitempty"`
	ChangeFailRate      Level  `json:"changeFailRate,omitempty"`
	Recovery            Level  `json:"recovery,omitempty"`
}

// A limit is what a metric has to stay below (or at, where inclusive) for a level.
type limit struct {
	value     float64
	level     Level
	inclusive bool
}

// limits are those of a report, in the metrics' units, best first; what is beyond the
// last is low. Frequency is a number of days from one deployment to the next.
type limits struct{ leadTime, interval, failRate, recovery []limit }

const (
	hour  = float64(time.Hour / time.Second)
	day   = 24 * hour
	week  = 7 * day
	month = 30 * day
)

// reports has the clusters of https://dora.dev/research/. A number between two of them
// belongs to the worse. Where the worse of two has the better number, as medium has in the
// change fail rate of 2024, the better one's counts.
var reports = map[Report]limits{
	Report2021: {
		leadTime: []limit{{hour, Elite, false}, {week, High, true}, {6 * month, Medium, true}},
		interval: []limit{{1, Elite, false}, {30, High, true}, {180, Medium, true}},
		failRate: []limit{{0.15, Elite, true}, {0.30, High, true}},
		recovery: []limit{{hour, Elite, false}, {day, High, false}, {week, Medium, true}},
	},
	Report2023: {
		leadTime: []limit{{day, Elite, false}, {week, High, true}, {month, Medium, true}},
		interval: []limit{{1, Elite, false}, {7, High, true}, {30, Medium, true}},
		failRate: []limit{{0.05, Elite, true}, {0.10, High, true}, {0.15, Medium, true}},
		recovery: []limit{{hour, Elite, false}, {day, High, false}, {week, Medium, true}},
	},
	Report2024: {
		leadTime: []limit{{day, Elite, false}, {week, High, true}, {month, Medium, true}},
		interval: []limit{{1, Elite, false}, {7, High, true}, {30, Medium, true}},
		failRate: []limit{{0.05, Elite, true}, {0.20, High, true}},
		recovery: []limit{{hour, Elite, false}, {day, High, false}},
	},
}

// Bands compares the medians and rates with a report; there are none for [NoReport] and
// the empty one. A report that is not known is an error.
func (m *Metrics) Bands(r Report) (Bands, error) {
	if r == "" || r == NoReport {
		return Bands{}, nil
	}
	l, known := reports[r]
	if !known {
		return Bands{}, fmt.Errorf("report %q: has to be %s, %s, %s or %s", r, Report2021, Report2023, Report2024, NoReport)
	}
	var interval *float64
	if m.Deployments > 0 {
		interval = new(1 / m.DeploymentsPerDay)
	}
	return Bands{
		Report:              r,
		LeadTime:            level(l.leadTime, m.LeadTime.P50Seconds),
		DeploymentFrequency: level(l.interval, interval),
		ChangeFailRate:      level(l.failRate, m.ChangeFailRate),
		Recovery:            level(l.recovery, m.Recovery.P50Seconds),
	}, nil
}

func level(limits []limit, value *float64) Level {
	if value == nil {
		return ""
	}
	for _, l := range limits {
		if *value < l.value || l.inclusive && *value == l.value {
			return l.level
		}
	}
	return Low
}
