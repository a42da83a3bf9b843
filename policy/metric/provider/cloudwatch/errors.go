package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// An identityError is a process that has no identity in AWS.
type identityError struct{ err error }

// Error implements error.
func (e *identityError) Error() string {
	return fmt.Sprintf("%v: the controller has no identity in AWS: %v", metric.ErrUnauthorized, e.err)
}

// Is makes it metric.ErrUnauthorized.
func (e *identityError) Is(target error) bool { return target == metric.ErrUnauthorized }

// Unwrap returns why there is none.
func (e *identityError) Unwrap() error { return e.err }

// queryError says of a failed query which error it is.
func queryError(ctx context.Context, err error) error {
	var answered smithy.APIError
	var nobody *identityError
	var undecoded *smithy.DeserializationError
	var invalid smithy.InvalidParamsError
	switch {
	case ctx.Err() != nil:
		return connect.Error(ctx, err)
	case errors.As(err, &nobody):
		return nobody
	case errors.As(err, &invalid):
		return fmt.Errorf("%w: %s", metric.ErrBadQuery, invalid.Error())
	case errors.As(err, &undecoded):
		return readError(ctx, undecoded.Err)
	case errors.As(err, &answered):
		return apiError(answered)
	default:
		return connect.Error(ctx, err)
	}
}

// readError tells an answer that cannot be read from one that could not be
// received.
func readError(ctx context.Context, err error) error {
	var network net.Error
	if metric.Reason(err) != "Failed" || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) {
		return connect.Error(ctx, err)
	}
	return fmt.Errorf("%w: it is none of CloudWatch's: %w: is targetServer an endpoint of CloudWatch?", metric.ErrBadResponse, err)
}

// apiError says what an error of the API's stands for, by its code
// (https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html).
// Only the message of a refused permission is repeated from those about
// credentials: the one about a signature can hold a session token.
func apiError(err smithy.APIError) error {
	code := err.ErrorCode()
	name := strings.TrimSuffix(strings.TrimSuffix(code, "Exception"), "Fault")
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	switch {
	case throttled, name == "Throttling":
		return &metric.RateLimitedError{}
	case name == "AccessDenied":
		return fmt.Errorf("%w: %s: %s", metric.ErrUnauthorized, code, err.ErrorMessage())
	case refusals()[name]:
		return fmt.Errorf("%w: CloudWatch answers %s: check the provider's credentials", metric.ErrUnauthorized, code)
	case wrongs()[name]:
		return fmt.Errorf("%w: %s: %s", metric.ErrBadQuery, code, err.ErrorMessage())
	case err.ErrorFault() == smithy.FaultServer:
		return fmt.Errorf("%w: CloudWatch answers %s", metric.ErrUnreachable, code)
	default:
		return fmt.Errorf("%w: CloudWatch answers %s: is targetServer an endpoint of CloudWatch?", metric.ErrBadResponse, code)
	}
}

// refusals are the codes of credentials that are not accepted, without their
// suffix.
func refusals() map[string]bool {
	return map[string]bool{
		"ExpiredToken":               true,
		"IncompleteSignature":        true,
		"InvalidClientTokenId":       true,
		"InvalidSignature":           true,
		"MissingAuthenticationToken": true,
		"NotAuthorized":              true,
		"OptInRequired":              true,
		"RequestExpired":             true,
		"SignatureDoesNotMatch":      true,
		"UnauthorizedOperation":      true,
		"UnrecognizedClient":         true,
	}
}

// wrongs are the codes of a query that cannot be evaluated, without their suffix.
func wrongs() map[string]bool {
	return map[string]bool{
		"InvalidFormat":               true,
		"InvalidNextToken":            true,
		"InvalidParameterCombination": true,
		"InvalidParameterValue":       true,
		"InvalidQueryParameter":       true,
		"MalformedQueryString":        true,
		"MissingParameter":            true,
		"MissingRequiredParameter":    true,
		"Validation":                  true,
		"ValidationError":             true,
	}
}
