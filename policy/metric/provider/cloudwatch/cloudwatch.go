// Package cloudwatch asks Amazon CloudWatch for metrics, by GetMetricData
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html).
//
// It reads only: it publishes no metric and changes no alarm. It uses the
// identity that the process has in AWS only where connect.Server.Ambient lets it.
package cloudwatch

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// maxPages is how many pages of an answer are read. A page holds up to 100,800
// samples, so that it is more than connect.MaxSamples takes.
const maxPages = 100

// querier is CloudWatch in one region.
type querier struct {
	client *cloudwatch.Client
	server connect.Server
}

// New checks the server and returns what queries it, in the region of
// Spec.CloudWatch. Spec.TargetServer replaces the region's own endpoint, as a VPC
// endpoint does. The Secret's keys are accessKeyID, secretAccessKey and, for
// temporary credentials, sessionToken. Without a Secret, Spec.TargetServer can be
// an endpoint of CloudWatch's own only: whoever chooses another could read what the
// process's identity signs.
func New(s connect.Server) (metric.Querier, error) {
	if s.Spec.CloudWatch == nil || s.Spec.CloudWatch.Region == "" {
		return nil, fmt.Errorf("%w: it needs a region: give it in cloudWatch.region, as eu-central-1", metric.ErrConfig)
	}
	if region := s.Spec.CloudWatch.Region; s.Secret == nil && s.Ambient && !isOwn(s, region) {
		return nil, fmt.Errorf("%w: the identity that the controller has in AWS is shown to no server but CloudWatch in %s, over verified https: leave targetServer and insecureSkipTlsVerify away, or give a Secret with the keys accessKeyID and secretAccessKey", metric.ErrConfig, region)
	}
	return open(s)
}

// open returns what queries a server whose configuration has been looked at.
func open(s connect.Server) (metric.Querier, error) {
	region := s.Spec.CloudWatch.Region
	identity, err := credentialsOf(s, region)
	if err != nil {
		return nil, err
	}
	connection, err := s.Client(nil)
	if err != nil {
		return nil, err
	}
	options := cloudwatch.Options{
		Region:      region,
		Credentials: identity,
		HTTPClient:  connection,
		Retryer:     aws.NopRetryer{},
	}
	if s.Spec.TargetServer != "" {
		endpoint, err := s.URL("")
		if err != nil {
			return nil, err
		}
		options.BaseEndpoint = aws.String(endpoint.String())
	}
	return &querier{client: cloudwatch.New(options), server: s}, nil
}

// credentialsOf are those of the Secret or, where that is allowed, of the process.
func credentialsOf(s connect.Server, region string) (aws.CredentialsProvider, error) {
	switch {
	case s.Secret == nil && s.Ambient:
		return aws.NewCredentialsCache(ambient(region)), nil
	case s.Secret == nil:
		return nil, fmt.Errorf("%w: it needs a Secret with the keys accessKeyID and secretAccessKey: name it in secretKeyRef; the identity that the controller has in AWS may not be used here", metric.ErrConfig)
	}
	id, err := s.Value("accessKeyID")
	if err != nil {
		return nil, err
	}
	key, err := s.Value("secretAccessKey")
	if err != nil {
		return nil, err
	}
	token := ""
	if _, ok := s.Secret["sessionToken"]; ok {
		if token, err = s.Value("sessionToken"); err != nil {
			return nil, err
		}
	}
	return credentials.NewStaticCredentialsProvider(id, key, token), nil
}

// isOwn says whether a server is CloudWatch's own in the region, over verified https:
// its public endpoint or that of a VPC
// (https://docs.aws.amazon.com/general/latest/gr/cw_region.html). Other names below
// amazonaws.com can be anybody's, as those of API Gateway are.
func isOwn(s connect.Server, region string) bool {
	if s.Spec.InsecureSkipTLSVerify {
		return false
	}
	if s.Spec.TargetServer == "" {
		return true
	}
	u, err := s.URL("")
	if err != nil || u.Scheme != "https" {
		return false
	}
	host := strings.TrimSuffix(u.Hostname(), ".cn")
	return host == "monitoring."+region+".amazonaws.com" ||
		host == "monitoring-fips."+region+".amazonaws.com" ||
		strings.HasSuffix(host, ".monitoring."+region+".vpce.amazonaws.com")
}

// ambient is the identity that the process has in AWS: of its environment, its
// service account or its machine
// (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html).
// AWS hands it out at addresses that a provider may not have, so that it is not
// asked for over the server's connection.
func ambient(region string) aws.CredentialsProviderFunc {
	return func(ctx context.Context) (aws.Credentials, error) {
		loaded, err := config.LoadDefaultConfig(ctx, config.WithRegion(region))
		if err != nil {
			return aws.Credentials{}, &identityError{err}
		}
		held, err := loaded.Credentials.Retrieve(ctx)
		if err != nil {
			return aws.Credentials{}, &identityError{err}
		}
		return held, nil
	}
}

// Query implements metric.Querier. Expr is an expression of metric math or of
// Metrics Insights
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-metrics-insights-querylanguage.html),
// or a JSON array of MetricDataQuery as AWS documents it
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html)
// and as Argo Rollouts has it: keys in any case. An array's own periods are kept.
//
// The period is the step or, without one, the window, rounded up to whole minutes;
// and the window ends with the last whole minute, for CloudWatch aggregates from
// whole minutes on. Each result is a series with the labels id and label.
func (p *querier) Query(ctx context.Context, q metric.Query) (metric.Result, error) {
	if err := connect.CheckQuery(q); err != nil {
		return metric.Result{}, err
	}
	asked, err := input(q)
	if err != nil {
		return metric.Result{}, err
	}
	a := answer{limit: p.server.Limit()}
	for range maxPages {
		page, err := p.client.GetMetricData(ctx, asked)
		if err != nil {
			return metric.Result{}, queryError(ctx, err)
		}
		if err := a.add(page); err != nil {
			return metric.Result{}, err
		}
		if page.NextToken == nil || *page.NextToken == "" {
			return a.result(p.server, q.Step == 0)
		}
		asked.NextToken = page.NextToken
	}
	return metric.Result{}, fmt.Errorf("%w: the answer has more than %d pages: aggregate them, or take a longer step", metric.ErrTooManySeries, maxPages)
}

// input is the request that a query stands for.
func input(q metric.Query) (*cloudwatch.GetMetricDataInput, error) {
	when := spanOf(q)
	queries, err := queriesOf(q.Expr, when.period)
	if err != nil {
		return nil, err
	}
	return &cloudwatch.GetMetricDataInput{
		StartTime:         aws.Time(when.start),
		EndTime:           aws.Time(when.end),
		MetricDataQueries: queries,
		ScanBy:            types.ScanByTimestampAscending,
	}, nil
}
