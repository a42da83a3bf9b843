package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/keptn/gitops/controllers"
	"github.com/keptn/gitops/controllers/app"
	"github.com/keptn/gitops/controllers/lifecycle"
	"github.com/keptn/gitops/controllers/shard"
	"github.com/keptn/gitops/controllers/task"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/telemetry"
	"github.com/keptn/gitops/telemetry/event"
)

// controllerFlags are the flags of the controller.
type controllerFlags struct {
	storageDir, metricsAddress, probeAddress string
	cluster, namespace, fluxAddress, shard   string
	cloudEvents, eventFamilies, eventMode    string
	eventTokenFile                           string
	denoImage, pythonImage, detailsURL       string
	quiet                                    time.Duration
	storageBytes                             int64
	concurrent                               int
	statusesPerSecond                        float64
	leaderElect, plainHTTP, local            bool
	addresses                                addressFlags
	metrics                                  metricsFlags
	log                                      zap.Options
}

func newController() *cobra.Command {
	var flags controllerFlags
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Run the controller in the cluster",
		Long: `controller watches GitSources, follows their commits into the cluster, and says
on each commit what became of it. It is what config/default installs.

Traces, and metrics that are pushed, are exported as the variables OTEL_EXPORTER_OTLP_* say.`,
		Example: `  keptn controller --storage-dir /tmp/keptn   # against the cluster of your kubeconfig`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return flags.run(cmd.Context()) },
	}
	flags.add(cmd.Flags())
	return cmd
}

// add adds the flags to a set.
func (f *controllerFlags) add(set *pflag.FlagSet) {
	set.StringVar(&f.storageDir, "storage-dir", "/data", "where Git's objects are kept; they are fetched again when lost")
	set.Int64Var(&f.storageBytes, "storage-bytes", 4<<30, "how much of --storage-dir may be used")
	set.StringVar(&f.metricsAddress, "metrics-bind-address", ":8080", "where Prometheus metrics are served; 0 for nowhere")
	set.StringVar(&f.probeAddress, "health-probe-bind-address", ":8081", "where /healthz and /readyz are served")
	set.StringVar(&f.shard, "shard", "", "read only the GitSources with the label "+shard.Label+" of this value, and do nothing else; without it, those without the label")
	set.BoolVar(&f.leaderElect, "leader-elect", false, "work only while holding the lease, so that several replicas can stand by")
	set.StringVar(&f.namespace, "namespace", cmp.Or(os.Getenv("POD_NAMESPACE"), "keptn-system"), "Keptn's own namespace: of its lease, and of definitions that another namespace does not have")
	set.StringVar(&f.denoImage, "deno-image", task.DenoImage, "what scripts for Deno run in")
	set.StringVar(&f.pythonImage, "python-image", task.PythonImage, "what scripts for Python run in")
	set.StringVar(&f.detailsURL, "details-url", "", "where statuses of commits lead: an address with {namespace} {name} {app} {environment} {commit} {phase} {traceID}")
	set.DurationVar(&f.quiet, "discovery-quiet-period", app.DefaultQuiet, "how long no new workload of an app has to show up before the app is complete")
	set.IntVar(&f.concurrent, "concurrent", 4, "how many objects of a kind are worked on at a time")
	set.StringVar(&f.cluster, "cluster-name", "", "name of this cluster in Git notes (default: the begin of the UID of namespace kube-system)")
	set.StringVar(&f.cloudEvents, "cloudevents-endpoint", "", "where CloudEvents of deliveries are posted; empty for nowhere")
	set.StringVar(&f.eventFamilies, "cloudevents-families", "delivery,keptn", "which CloudEvents are posted: delivery (our own), keptn (one for each Kubernetes event, as Keptn's), cdevents")
	set.StringVar(&f.eventMode, "cloudevents-mode", "binary", "how CloudEvents are posted: binary (attributes as headers), structured (all in the body) or batched (up to 100 in one request)")
	set.StringVar(&f.eventTokenFile, "cloudevents-token-file", "", "file with the bearer token for the receiver of CloudEvents; it is read for each event")
	set.StringVar(&f.fluxAddress, "flux-events-address", "", "where Flux's notification-controller takes events, as http://notification-controller.flux-system.svc; empty for nowhere")
	set.Float64Var(&f.statusesPerSecond, "statuses-per-second", 5, "steps of delivering statuses per second at one forge, at most: to read what a commit shows, or to write to it")
	set.BoolVar(&f.plainHTTP, "allow-plain-http-credentials", false, "let passwords and tokens, for Git and for forges, go over http")
	set.BoolVar(&f.local, "allow-local-repositories", false, "let GitSources read repositories on the controller's own disk, by file:// URLs")
	f.addresses.add(set)
	f.metrics.add(set)
	logFlags := flag.NewFlagSet("log", flag.ContinueOnError)
	f.log.BindFlags(logFlags)
	set.AddGoFlagSet(logFlags)
}

// run runs the controllers until ctx ends.
func (f *controllerFlags) run(ctx context.Context) error {
	if err := lifecycle.CheckDetailsURL(f.detailsURL); err != nil {
		return fmt.Errorf("--details-url: %w", err)
	}
	if problems := validation.IsDNS1123Label(f.shard); f.shard != "" && len(problems) > 0 {
		return fmt.Errorf("--shard %q: %s", f.shard, problems[0])
	}
	logger := zap.New(zap.UseFlagOptions(&f.log))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	cluster, err := config.GetConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	mgr, err := f.manager(cluster)
	if err != nil {
		return err
	}
	options, err := f.options(ctx, mgr)
	if err != nil {
		return err
	}
	if err := controllers.Setup(ctx, mgr, options); err != nil {
		return err
	}
	logger.Info("Starting", "version", version, "cluster", options.Cluster)
	err = mgr.Start(ctx)
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, options.Teller.Shutdown(flush))
}

func (f *controllerFlags) manager(cluster *rest.Config) (ctrl.Manager, error) {
	scheme, err := controllers.NewScheme()
	if err != nil {
		return nil, err
	}
	o := controllers.ManagerOptions(scheme)
	o.Metrics = server.Options{BindAddress: f.metricsAddress}
	o.HealthProbeBindAddress = f.probeAddress
	o.LeaderElection = f.leaderElect
	o.LeaderElectionID = shard.Shard(f.shard).Lease()
	o.LeaderElectionNamespace = f.namespace
	o.LeaderElectionReleaseOnCancel = true
	cluster = rest.CopyConfig(cluster)
	cluster.DisableCompression = true // of watches, each object by itself, which costs both sides more than it saves
	mgr, err := ctrl.NewManager(cluster, o)
	if err != nil {
		return nil, fmt.Errorf("make manager: %w", err)
	}
	return mgr, errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping))
}

// settings are what the flags say as they are.
func (f *controllerFlags) settings() controllers.Options {
	o := controllers.Options{
		DetailsURL: f.detailsURL,
		Namespace:  f.namespace,
		Shard:      shard.Shard(f.shard),
		Tasks:      task.Options{DenoImage: f.denoImage, PythonImage: f.pythonImage},
		Apps:       app.Options{Quiet: f.quiet},
		Cluster:    f.cluster,
		Concurrent: f.concurrent,
		Queue:      []forge.Option{forge.WithRate(rate.Limit(f.statusesPerSecond), max(1, int(2*f.statusesPerSecond)))},
	}
	f.metrics.set(&o)
	return o
}

// options opens what the controllers work with.
func (f *controllerFlags) options(ctx context.Context, mgr ctrl.Manager) (controllers.Options, error) {
	o := f.settings()
	var err error
	if o.Addresses, err = f.addresses.parse(); err != nil {
		return o, err
	}
	if o.Store, err = f.store(o.Addresses, mgr.GetLogger()); err != nil {
		return o, err
	}
	if o.Cluster == "" {
		if o.Cluster, err = clusterName(ctx, mgr.GetAPIReader()); err != nil {
			return o, err
		}
	}
	o.Teller, err = f.teller(ctx, mgr.GetLogger())
	return o, err
}

// store opens what is kept of Git.
func (f *controllerFlags) store(addresses outbound.Addresses, log logr.Logger) (*gitsource.Store, error) {
	options := []gitsource.Option{
		gitsource.MaxBytes(f.storageBytes), gitsource.Addresses(addresses),
		gitsource.OnRepair(func(url string, damage error) {
			log.Info("Fetching a damaged copy of a repository anew", "url", url, "damage", damage.Error())
		}),
	}
	if f.plainHTTP {
		options = append(options, gitsource.AllowPlainHTTPCredentials())
	}
	if f.local {
		options = append(options, gitsource.AllowLocalRepositories())
	}
	return gitsource.NewStore(f.storageDir, options...)
}

// teller makes what tells others of deliveries.
func (f *controllerFlags) teller(ctx context.Context, log logr.Logger) (*telemetry.Teller, error) {
	families, err := telemetry.ParseFamilies(f.eventFamilies)
	if err != nil {
		return nil, fmt.Errorf("--cloudevents-families: %w", err)
	}
	mode, err := event.ParseMode(f.eventMode)
	if err != nil {
		return nil, fmt.Errorf("--cloudevents-mode: %w", err)
	}
	return telemetry.New(ctx, telemetry.Options{
		Version: version, Registerer: metrics.Registry, Log: log, FluxAddress: f.fluxAddress,
		CloudEvents: telemetry.CloudEvents{
			Endpoint: f.cloudEvents, Families: families, Mode: mode, TokenFile: f.eventTokenFile,
		},
	})
}

// clusterName tells clusters apart where nobody named them.
func clusterName(ctx context.Context, r client.Reader) (string, error) {
	var system corev1.Namespace
	if err := r.Get(ctx, client.ObjectKey{Name: "kube-system"}, &system); err != nil {
		return "", fmt.Errorf("name the cluster, since --cluster-name is not given: %w", err)
	}
	return string(system.UID)[:8], nil
}
