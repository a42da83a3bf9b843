package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	openapicommon "k8s.io/kube-openapi/pkg/common"
	"sigs.k8s.io/custom-metrics-apiserver/pkg/apiserver"
	generatedcore "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/core"
	generatedcustommetrics "sigs.k8s.io/custom-metrics-apiserver/pkg/generated/openapi/custommetrics"
)

// The ConfigMap in which the API server of the cluster says how those can be sure
// that it is it to whom it hands requests on.
const authenticationConfig = "extension-apiserver-authentication"

// How long answers of the API server about tokens and rights are believed, and how
// long it may take to answer.
const (
	reviewTTL     = 10 * time.Second
	reviewTimeout = 10 * time.Second
)

// A customMetricsServer serves the custom metrics API of Kubernetes. Who asks, and
// what he may see, is decided by the API server of the cluster.
type customMetricsServer struct {
	address string
	config  *rest.Config
	source  Source
	keeper  *keeper
	log     logr.Logger
}

// NeedLeaderElection implements manager.LeaderElectionRunnable: every replica serves.
func (*customMetricsServer) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. It fails only if the address cannot be used:
// what the cluster does not allow is asked for again and again, and does not stop
// the rest of the process meanwhile.
func (s *customMetricsServer) Start(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.keeper.run(ctx) })
	group.Go(func() error { return s.serve(ctx) })
	return group.Wait()
}

// serve serves from the moment at which there is a certificate until ctx is done.
func (s *customMetricsServer) serve(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.keeper.served.ready:
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("serve custom metrics: %w", err)
	}
	server, err := backoff.Retry(ctx, func() (*genericapiserver.GenericAPIServer, error) { return s.server(ctx, listener) },
		backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, pause time.Duration) {
			s.log.Error(err, "The custom metrics API cannot be served", "retryAfter", pause.String())
		}))
	if ctx.Err() != nil {
		return listener.Close()
	}
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	s.log.Info("Serving the custom metrics API", "addr", listener.Addr().String())
	return server.PrepareRun().RunWithContext(ctx)
}

// server makes the server. It needs a cluster that lets us read how it authenticates.
func (s *customMetricsServer) server(ctx context.Context, listener net.Listener) (*genericapiserver.GenericAPIServer, error) {
	c := genericapiserver.NewConfig(apiserver.Codecs)
	c.EnableProfiling, c.EnableMetrics = false, false
	c.SecureServing = &genericapiserver.SecureServingInfo{
		Listener: listener, Cert: &s.keeper.served, MinTLSVersion: tls.VersionTLS12,
	}
	// Nobody is made privileged: the server has nothing to ask of itself.
	c.LoopbackClientConfig = &rest.Config{}
	if err := s.delegate(ctx, c); err != nil {
		return nil, err
	}
	namer := openapinamer.NewDefinitionNamer(apiserver.Scheme)
	c.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	c.OpenAPIConfig.Info.Title, c.OpenAPIConfig.Info.Version = "keptn-custom-metrics", "1"
	c.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	c.OpenAPIV3Config.Info.Title, c.OpenAPIV3Config.Info.Version = "keptn-custom-metrics", "1"
	adapter, err := (&apiserver.Config{GenericConfig: c}).Complete(nil).New("keptn-custom-metrics", NewProvider(ctx, s.source, s.log), nil)
	if err != nil {
		return nil, backoff.Permanent(fmt.Errorf("make the custom metrics server: %w", err))
	}
	adapter.GenericAPIServer.ShutdownTimeout = shutdownTimeout
	return adapter.GenericAPIServer, nil
}

// definitions are the schemas of the custom metrics API.
func definitions(ref openapicommon.ReferenceCallback) map[string]openapicommon.OpenAPIDefinition {
	all := generatedcore.GetOpenAPIDefinitions(ref)
	maps.Copy(all, generatedcustommetrics.GetOpenAPIDefinitions(ref))
	return all
}

// delegate has the API server of the cluster decide about requests: those that it
// hands on are known by its certificate and carry the names of who asks; of all
// others it is asked whose token they carry. What they may do it is always asked.
// See https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/.
func (s *customMetricsServer) delegate(ctx context.Context, c *genericapiserver.Config) error {
	client, err := kubernetes.NewForConfig(s.config)
	if err != nil {
		return fmt.Errorf("delegate authentication: %w", err)
	}
	authority := func(key string) (*dynamiccertificates.ConfigMapCAController, error) {
		return dynamiccertificates.NewDynamicCAFromConfigMapController("client-ca", metav1.NamespaceSystem, authenticationConfig, key, client)
	}
	frontAuthority, err := authority("requestheader-client-ca-file")
	if err != nil {
		return fmt.Errorf("delegate authentication: %w", err)
	}
	headers := headerrequest.NewRequestHeaderAuthRequestController(authenticationConfig, metav1.NamespaceSystem, client,
		"requestheader-username-headers", "requestheader-uid-headers", "requestheader-group-headers",
		"requestheader-extra-headers-prefix", "requestheader-allowed-names")
	if err := headers.RunOnce(ctx); err != nil {
		return fmt.Errorf("delegate authentication: %w", err)
	}
	front := &authenticatorfactory.RequestHeaderConfig{
		CAContentProvider:   frontAuthority,
		UsernameHeaders:     headerrequest.StringSliceProviderFunc(headers.UsernameHeaders),
		UIDHeaders:          headerrequest.StringSliceProviderFunc(headers.UIDHeaders),
		GroupHeaders:        headerrequest.StringSliceProviderFunc(headers.GroupHeaders),
		ExtraHeaderPrefixes: headerrequest.StringSliceProviderFunc(headers.ExtraHeaderPrefixes),
		AllowedClientNames:  headerrequest.StringSliceProviderFunc(headers.AllowedClientNames),
	}
	retry := &wait.Backoff{Duration: 500 * time.Millisecond, Factor: 1.5, Jitter: 0.2, Steps: 5}
	c.Authentication.RequestHeaderConfig = front
	c.Authentication.Authenticator, _, err = authenticatorfactory.DelegatingAuthenticatorConfig{
		TokenAccessReviewClient: client.AuthenticationV1(), TokenAccessReviewTimeout: reviewTimeout,
		WebhookRetryBackoff: retry, CacheTTL: reviewTTL,
		RequestHeaderConfig: front,
	}.New()
	if err != nil {
		return fmt.Errorf("delegate authentication: %w", err)
	}
	if err := c.Authentication.ApplyClientCert(frontAuthority, c.SecureServing); err != nil {
		return fmt.Errorf("delegate authentication: %w", err)
	}
	c.Authorization.Authorizer, err = authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(),
		AllowCacheTTL:             reviewTTL, DenyCacheTTL: reviewTTL, WebhookRetryBackoff: retry,
	}.New()
	if err != nil {
		return fmt.Errorf("delegate authorization: %w", err)
	}
	go headers.Run(ctx, 1) // the certificate authority is run by the server
	return nil
}
