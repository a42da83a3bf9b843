package cloudwatch

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/keptn/gitops/policy/metric"
)

const (
	// defaultWindow is what a question for an instant asks about: CloudWatch has
	// values of periods only.
	defaultWindow = 5 * time.Minute
	// maxQueries is how many queries one request may hold.
	maxQueries = 500
)

// A span is what a question asks about: the periods from start to end.
type span struct {
	start, end time.Time
	// period is in seconds.
	period int32
}

// spanOf is the span of a query, in whole minutes. It holds one period at least.
func spanOf(q metric.Query) span {
	window := q.Window
	if window == 0 {
		window = defaultWindow
	}
	window = minutes(window)
	period := window
	if q.Step > 0 {
		period = minutes(q.Step)
	}
	end := q.At.UTC().Truncate(time.Minute)
	return span{start: end.Add(-max(window, period)), end: end, period: int32(period / time.Second)} //nolint:gosec // 68 years fit
}

// minutes rounds up to whole minutes: the periods that CloudWatch knows of every
// metric are multiples of 60 seconds.
func minutes(d time.Duration) time.Duration {
	return (d + time.Minute - 1).Truncate(time.Minute)
}

// queriesOf are the queries of an expression, or those of a JSON array. The period
// stands in where none is given.
func queriesOf(expr string, period int32) ([]types.MetricDataQuery, error) {
	expr = strings.TrimSpace(expr)
	if !strings.HasPrefix(expr, "[") {
		return []types.MetricDataQuery{{Id: aws.String("q1"), Expression: aws.String(expr), Period: aws.Int32(period)}}, nil
	}
	var queries []types.MetricDataQuery
	decoder := json.NewDecoder(strings.NewReader(expr))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&queries); err != nil {
		return nil, fmt.Errorf("%w: it is no JSON array of CloudWatch's MetricDataQuery: %w", metric.ErrBadQuery, err)
	}
	if decoder.More() {
		return nil, fmt.Errorf("%w: something follows its JSON array", metric.ErrBadQuery)
	}
	for i := range queries {
		if err := complete(&queries[i], period); err != nil {
			return nil, err
		}
	}
	return queries, checkQueries(queries)
}

// complete gives a query the period that it needs and does not have. One of metric
// math has that of its metrics.
func complete(q *types.MetricDataQuery, period int32) error {
	id := aws.ToString(q.Id)
	switch {
	case id == "":
		return fmt.Errorf("%w: one of its MetricDataQueries has no id", metric.ErrBadQuery)
	case (q.Expression == nil) == (q.MetricStat == nil):
		return fmt.Errorf("%w: its MetricDataQuery %q needs an expression or a metricStat, and not both", metric.ErrBadQuery, id)
	case q.MetricStat != nil && q.MetricStat.Period == nil:
		q.MetricStat.Period = aws.Int32(period)
	case q.Expression != nil && q.Period == nil && isInsights(*q.Expression):
		q.Period = aws.Int32(period)
	}
	return nil
}

// isInsights says whether an expression is a query of Metrics Insights.
func isInsights(expression string) bool {
	words := strings.Fields(expression)
	return len(words) > 0 && strings.EqualFold(words[0], "SELECT")
}

// checkQueries refuses queries that cannot yield an answer together. What each may
// hold is CloudWatch's matter.
func checkQueries(queries []types.MetricDataQuery) error {
	if len(queries) == 0 || len(queries) > maxQueries {
		return fmt.Errorf("%w: it holds %d MetricDataQueries: give 1 to %d", metric.ErrBadQuery, len(queries), maxQueries)
	}
	known := map[string]bool{}
	returned := false
	for _, q := range queries {
		if known[*q.Id] {
			return fmt.Errorf("%w: two of its MetricDataQueries have the id %q", metric.ErrBadQuery, *q.Id)
		}
		known[*q.Id] = true
		returned = returned || q.ReturnData == nil || *q.ReturnData
	}
	if !returned {
		return fmt.Errorf("%w: none of its MetricDataQueries returns data: leave returnData away from one", metric.ErrBadQuery)
	}
	return nil
}
