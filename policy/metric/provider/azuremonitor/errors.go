package azuremonitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/keptn/gitops/policy/metric"
	"github.com/keptn/gitops/policy/metric/connect"
)

// transporter sends the SDK's requests, and remembers for their query why one
// failed: package azidentity keeps no more of an error than its text.
type transporter struct{ client *http.Client }

// Do implements policy.Transporter.
func (t *transporter) Do(r *http.Request) (*http.Response, error) {
	resp, err := t.client.Do(r)
	if err != nil {
		if f, ok := r.Context().Value(failureKey{}).(*failure); ok {
			f.last.Store(&err)
		}
	}
	return resp, err
}

type failureKey struct{}

// A failure is why the last request of a query that failed did so.
type failure struct{ last atomic.Pointer[error] }

// watch is a context whose failure is remembered.
func watch(ctx context.Context) (context.Context, *failure) {
	f := &failure{}
	return context.WithValue(ctx, failureKey{}, f), f
}

// cause is why a request failed, or nil.
func (f *failure) cause() error {
	if err := f.last.Load(); err != nil {
		return *err
	}
	return nil
}

// processIdentity is the process's own, whose errors say so.
type processIdentity struct{ azcore.TokenCredential }

// GetToken implements azcore.TokenCredential.
func (p *processIdentity) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, err := p.TokenCredential.GetToken(ctx, o)
	if err != nil {
		return token, &identityError{err}
	}
	return token, nil
}

// An identityError is a process that has no identity in Azure.
type identityError struct{ err error }

// Error implements error.
func (e *identityError) Error() string { return e.err.Error() }

// Unwrap returns why there is none.
func (e *identityError) Unwrap() error { return e.err }

// told is the error in a line of its own, and without the answer that refuses the
// identity.
func (e *identityError) told() error {
	var refused *azidentity.AuthenticationFailedError
	if errors.As(e.err, &refused) && refused.RawResponse != nil {
		return tokenError(refused)
	}
	return fmt.Errorf("%w: the controller has no identity in Azure: %s", metric.ErrUnauthorized, strings.Join(strings.Fields(e.err.Error()), " "))
}

// queryError says of a failed query which error it is: cause is that of its last
// request that failed, or nil.
func queryError(ctx context.Context, err, cause error) error {
	var nobody *identityError
	var refused *azidentity.AuthenticationFailedError
	var answered *azcore.ResponseError
	var network net.Error
	switch {
	case ctx.Err() != nil:
		return connect.Error(ctx, err)
	case errors.As(err, &nobody):
		return nobody.told()
	case cause != nil:
		return connect.Error(ctx, cause)
	case errors.As(err, &refused):
		return tokenError(refused)
	case errors.As(err, &answered):
		return apiError(answered)
	case metric.Reason(err) != "Failed", errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF):
		return connect.Error(ctx, err)
	default:
		return fmt.Errorf("%w: it is none of Azure Monitor's: %w: is targetServer the Resource Manager's?", metric.ErrBadResponse, err)
	}
}

// tokenError says why there is no token, by the codes of Microsoft Entra
// (https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes).
// It does not repeat the answer, which can hold what was sent.
func tokenError(err *azidentity.AuthenticationFailedError) error {
	if err.RawResponse == nil {
		return fmt.Errorf("%w: the answer of Microsoft Entra is no token", metric.ErrBadResponse)
	}
	var said struct {
		Codes []int `json:"error_codes"`
	}
	var codes strings.Builder
	if body, failed := runtime.Payload(err.RawResponse); failed == nil && json.Unmarshal(body, &said) == nil {
		for _, code := range said.Codes {
			fmt.Fprintf(&codes, " AADSTS%d", code)
		}
	}
	return fmt.Errorf("%w: Microsoft Entra answers %d%s: check tenantID, clientID and clientSecret", metric.ErrUnauthorized, err.RawResponse.StatusCode, codes.String())
}

// apiError says what an error of the API's stands for. A resource that is not there
// is as wrong as a metric that is not: the query names both.
func apiError(err *azcore.ResponseError) error {
	code, message := err.ErrorCode, ""
	if body, failed := runtime.Payload(err.RawResponse); failed == nil {
		code, message = messageOf(body, code)
	}
	wrong := err.StatusCode == http.StatusBadRequest || err.StatusCode == http.StatusNotFound
	if wrong && message != "" {
		return fmt.Errorf("%w: %s: %s", metric.ErrBadQuery, code, message)
	}
	return fmt.Errorf("%w: Azure Monitor answers %d %s: is targetServer the Resource Manager's?", metric.ErrBadResponse, err.StatusCode, code)
}

// messageOf is the code and the message of an error, which Azure Monitor puts at
// the top, and the Resource Manager below error
// (https://learn.microsoft.com/en-us/rest/api/monitor/metrics/list#errorcontract).
func messageOf(body []byte, code string) (string, string) {
	type content struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	var said struct {
		content
		Error content `json:"error"`
	}
	if json.Unmarshal(body, &said) != nil {
		return code, ""
	}
	if said.Error.Message != "" {
		return said.Error.Code, said.Error.Message
	}
	return said.Code, said.Message
}
