package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
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
	"github.com/keptn/gitops/controllers/task"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/telemetry"
)

// controllerFlags are the flags of the controller.
type controllerFlags struct {
	storageDir, metricsAddress, probeAddress string
	cluster, cloudEvents, namespace          string
	denoImage, pythonImage, detailsURL       string
	quiet                                    time.Duration
	storageBytes                             int64
	concurrent                               int
	statusesPerSecond                        float64
	leaderElect, plainHTTP                   bool
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

Traces are exported as the variables OTEL_EXPORTER_OTLP_* say.`,
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
	set.BoolVar(&f.leaderElect, "leader-elect", false, "work only while holding the lease, so that several replicas can stand by")
	set.StringVar(&f.namespace, "namespace", cmp.Or(os.Getenv("POD_NAMESPACE"), "keptn-system"), "Keptn's own namespace: of its lease, and of definitions that another namespace does not have")
	set.StringVar(&f.denoImage, "deno-image", task.DenoImage, "what scripts for Deno run in")
	set.StringVar(&f.pythonImage, "python-image", task.PythonImage, "what scripts for Python run in")
	set.StringVar(&f.detailsURL, "details-url", "", "where statuses of commits lead: an address with {namespace} {name} {app} {environment} {commit} {phase} {traceID}")
	set.DurationVar(&f.quiet, "discovery-quiet-period", app.DefaultQuiet, "how long no new workload of an app has to show up before the app is complete")
	set.IntVar(&f.concurrent, "concurrent", 4, "how many objects of a kind are worked on at a time")
	set.StringVar(&f.cluster, "cluster-name", "", "name of this cluster in Git notes (default: the begin of the UID of namespace kube-system)")
	set.StringVar(&f.cloudEvents, "cloudevents-endpoint", "", "where CloudEvents of deliveries are posted; empty for nowhere")
	set.Float64Var(&f.statusesPerSecond, "statuses-per-second", 5, "requests per second to one forge, at most")
	set.BoolVar(&f.plainHTTP, "allow-plain-http-credentials", false, "let passwords and tokens for Git go over http")
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
	return errors.Join(err, options.Tracer.Shutdown(flush))
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
	o.LeaderElectionID = "keptn-gitops"
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
	return controllers.Options{
		DetailsURL: f.detailsURL,
		Namespace:  f.namespace,
		Tasks:      task.Options{DenoImage: f.denoImage, PythonImage: f.pythonImage},
		Apps:       app.Options{Quiet: f.quiet},
		Cluster:    f.cluster,
		Concurrent: f.concurrent,
		Queue:      []forge.Option{forge.WithRate(rate.Limit(f.statusesPerSecond), max(1, int(2*f.statusesPerSecond)))},
	}
}

// options opens what the controllers work with.
func (f *controllerFlags) options(ctx context.Context, mgr ctrl.Manager) (controllers.Options, error) {
	o := f.settings()
	storeOptions := []gitsource.Option{gitsource.MaxBytes(f.storageBytes)}
	if f.plainHTTP {
		storeOptions = append(storeOptions, gitsource.AllowPlainHTTPCredentials())
	}
	var err error
	if err = f.metrics.set(&o); err != nil {
		return o, err
	}
	if o.Store, err = gitsource.NewStore(f.storageDir, storeOptions...); err != nil {
		return o, err
	}
	if o.Cluster == "" {
		if o.Cluster, err = clusterName(ctx, mgr.GetAPIReader()); err != nil {
			return o, err
		}
	}
	log := mgr.GetLogger()
	if o.Tracer, err = telemetry.NewTracer(ctx, version, log.WithName("traces")); err != nil {
		return o, err
	}
	if o.Metrics, err = telemetry.NewMetrics(ctx, version, metrics.Registry); err != nil {
		return o, err
	}
	o.Events, err = telemetry.NewEvents(f.cloudEvents, log.WithName("cloudevents"), telemetry.WithMeterProvider(o.Metrics.MeterProvider()))
	return o, err
}

// clusterName tells clusters apart where nobody named them.
func clusterName(ctx context.Context, r client.Reader) (string, error) {
	var system corev1.Namespace
	if err := r.Get(ctx, client.ObjectKey{Name: "kube-system"}, &system); err != nil {
		return "", fmt.Errorf("name the cluster, since --cluster-name is not given: %w", err)
	}
	return string(system.UID)[:8], nil
}
