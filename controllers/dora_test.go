package controllers_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	promclient "github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	gitopsv1alpha1 "github.com/keptn/gitops/api/gitops/v1alpha1"
	lifecyclev1 "github.com/keptn/gitops/api/lifecycle/v1"
	"github.com/keptn/gitops/controllers"
	"github.com/keptn/gitops/controllers/guard"
	"github.com/keptn/gitops/controllers/measure"
	"github.com/keptn/gitops/controllers/phase"
	"github.com/keptn/gitops/controllers/repository"
	"github.com/keptn/gitops/controllers/serving"
	"github.com/keptn/gitops/dora"
	"github.com/keptn/gitops/gitsource"
	"github.com/keptn/gitops/gitsource/forge"
	"github.com/keptn/gitops/history"
	"github.com/keptn/gitops/outbound"
	"github.com/keptn/gitops/telemetry"
)

// token and hmacKey let callers in.
const (
	token   = "let-me-in"
	hmacKey = "sign-with-this"
)

// served is a controller that serves HTTP and shows its metrics.
type served struct {
	url     string
	metrics *promclient.Registry
	client  client.Client
	store   *gitsource.Store
	stop    func()
}

// runServed runs all controllers as runController does, with what they serve.
func runServed(ctx context.Context, change ...func(*ctrl.Options)) *served {
	GinkgoHelper()
	s := &served{metrics: promclient.NewRegistry()}
	teller, err := telemetry.New(ctx, telemetry.Options{Version: "test", Registerer: s.metrics, Log: ctrl.Log})
	Expect(err).NotTo(HaveOccurred())
	scheme, err := controllers.NewScheme()
	Expect(err).NotTo(HaveOccurred())
	options := controllers.ManagerOptions(scheme)
	options.Metrics = server.Options{BindAddress: "0"}
	skip := true
	options.Controller.SkipNameValidation = &skip
	for _, c := range change {
		c(&options)
	}
	mgr, err := ctrl.NewManager(rest.CopyConfig(cluster), options)
	Expect(err).NotTo(HaveOccurred())
	s.client = mgr.GetClient()
	s.store, err = gitsource.NewStore(GinkgoT().TempDir(), gitsource.AllowPlainHTTPCredentials())
	Expect(err).NotTo(HaveOccurred())
	running, cancel := context.WithCancel(context.Background())
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort()))
	s.url = "http://" + address
	Expect(controllers.Setup(running, mgr, controllers.Options{
		Namespace: "keptn-system", Store: s.store, Cluster: "test", Concurrent: 4,
		Addresses: outbound.Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Serving:   serving.Options{Address: address}, Teller: teller,
	})).To(Succeed())
	done := make(chan error, 1)
	go func() {
		defer GinkgoRecover()
		done <- mgr.Start(running)
	}()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		Eventually(done).Should(Receive(Succeed()))
	}
	DeferCleanup(s.stop)
	return s
}

// asks asks for a path with a body, which may be none, and returns the status code and
// the answer; the code is zero where nobody listens yet.
func (s *served) asks(ctx context.Context, method, path, body string, headers ...string) (code int, answer string) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, string(content)
}

// gauge is the value of a metric with labels, each written as name=value; NaN is not
// shown, and neither is what there is none of.
func (s *served) gauge(name string, labels ...string) func() []float64 {
	return func() []float64 {
		families, err := s.metrics.Gather()
		Expect(err).NotTo(HaveOccurred())
		var values []float64
		for _, family := range families {
			if family.GetName() != name {
				continue
			}
			for _, m := range family.GetMetric() {
				var has []string
				for _, l := range m.GetLabel() {
					has = append(has, l.GetName()+"="+l.GetValue())
				}
				if !slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(has, l) }) {
					values = append(values, m.GetGauge().GetValue())
				}
			}
		}
		return values
	}
}

var _ = Describe("The deployments of an app", Ordered, func() {
	var (
		w      *world
		s      *served
		source *gitopsv1alpha1.GitSource
		// commits are those of main; the second one's check fails.
		commits [4]string
	)

	lc := func(ctx context.Context) *gitopsv1alpha1.Lifecycle {
		lc := w.lifecycle("checkout")
		if err := kube.Get(ctx, client.ObjectKeyFromObject(lc), lc); err != nil {
			return nil
		}
		return lc
	}
	// record is the record of deployments, the first one first: commit, result, kind and
	// how many commits it delivered.
	record := func(ctx context.Context) func() []string {
		return func() []string {
			var lines []string
			if lc := lc(ctx); lc != nil {
				for _, d := range slices.Backward(lc.Status.Deployments) {
					at := slices.Index(commits[:], d.Commit)
					lines = append(lines, fmt.Sprintf("%d %s %s %d", at, d.Result+d.FailedBy, d.Kind, d.Delivered))
				}
			}
			return lines
		}
	}
	// week is what the last week comes to.
	week := func(ctx context.Context) func() gitopsv1alpha1.DORAWindow {
		return func() gitopsv1alpha1.DORAWindow {
			if lc := lc(ctx); lc != nil && lc.Status.DORA != nil {
				return lc.Status.DORA.Windows[0]
			}
			return gitopsv1alpha1.DORAWindow{}
		}
	}
	// noted is what Git notes keep, sorted.
	noted := func(ctx context.Context) []string {
		GinkgoHelper()
		repo, err := s.store.Repository(gitsource.Remote{URL: w.repo.URL})
		Expect(err).NotTo(HaveOccurred())
		all, err := history.Repository{Repository: repo}.Deployments(ctx, forge.NotesRef)
		Expect(err).NotTo(HaveOccurred())
		var lines []string
		for _, d := range all {
			lines = append(lines, d.Line())
		}
		slices.Sort(lines)
		return lines
	}
	// kept is what the record keeps, as notes write it, sorted.
	kept := func(ctx context.Context) []string {
		GinkgoHelper()
		var lines []string
		for _, d := range lc(ctx).Status.Deployments {
			lines = append(lines, dora.Deployment{
				App: "checkout", Environment: "production", Commit: d.Commit, Cluster: d.Cluster,
				StartedAt: d.StartedAt.Time, FinishedAt: d.FinishedAt.Time, Result: dora.Result(d.Result), FailedBy: dora.Cause(d.FailedBy),
			}.Line())
		}
		slices.Sort(lines)
		return lines
	}
	push := func(n int) {
		GinkgoHelper()
		commits[n] = w.repo.Commit("main", fmt.Sprint("Release ", n), files(version(fmt.Sprint(n)), lifecycle))
	}
	// deploys has a commit run, and waits for its verdict.
	deploys := func(ctx context.Context, n int, errors, says string) {
		GinkgoHelper()
		w.metrics.set("errors", errors)
		afterwards()
		w.deploy(ctx, version(fmt.Sprint(n)))
		w.says(commits[n], "checkout/post-deployment", says)
	}
	gate := func(ctx context.Context, n int) (code int, answer phase.Answer) {
		GinkgoHelper()
		code, body := s.asks(ctx, http.MethodGet, "/gate/"+w.namespace+"/checkout/"+commits[n][:10], "")
		if code != 0 {
			Expect(json.Unmarshal([]byte(body), &answer)).To(Succeed(), body)
		}
		return code, answer
	}

	BeforeAll(func(ctx context.Context) {
		w = newWorld(ctx)
		w.metrics.set("requests", "1000")
		Expect(kube.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "keptn-webhooks"},
			StringData: map[string]string{guard.TokenKey: token, guard.HMACKey: hmacKey},
		})).To(Succeed())
		s = runServed(ctx)
		push(0)
		source = w.source(ctx)
		w.says(commits[0], "validate", "success: ")
	})

	It("are recorded with what they delivered, and measured", func(ctx context.Context) {
		Eventually(week(ctx)).Should(HaveField("DeploymentsPerDay", "0"), "an app that was never deployed is measured, too")
		deploys(ctx, 0, "1", "success: ")
		Eventually(record(ctx)).Should(Equal([]string{"0 success baseline 0"}))
		push(1)
		w.look(ctx, source)
		deploys(ctx, 1, "31", "failure: error-ratio 3.1% ≥ 1%")
		Eventually(record(ctx)).Should(Equal([]string{"0 success baseline 0", "1 failureverdict failed 0"}))
		Eventually(week(ctx)).Should(And(HaveField("ChangeFailRate", "0.5"), HaveField("Recoveries", BeZero())))

		deploys(ctx, 0, "1", "success: ")
		Eventually(record(ctx)).Should(Equal([]string{"0 success baseline 0", "1 failureverdict failed 0", "0 success rollback 0"}))
		push(2)
		w.look(ctx, source)
		deploys(ctx, 2, "1", "success: ")
		Eventually(record(ctx)).Should(Equal([]string{
			"0 success baseline 0", "1 failureverdict failed 0", "0 success rollback 0", "2 success forward 2",
		}))
		Eventually(week(ctx)).Should(And(
			HaveField("Deployments", BeEquivalentTo(4)), HaveField("FailedDeployments", BeEquivalentTo(1)),
			HaveField("DeploymentsPerDay", "0.5714"), HaveField("ChangeFailRate", "0.25"), HaveField("ReworkRate", "0.25"),
			HaveField("Recoveries", BeEquivalentTo(1)), HaveField("RecoveryP50.Duration", BeNumerically(">", 0)),
			HaveField("LeadTimes", BeEquivalentTo(2)), HaveField("LeadTimeP50.Duration", BeNumerically(">", 24*time.Hour)),
		))
	})

	It("are kept as Git notes, each once", func(ctx context.Context) {
		Eventually(func() []string { return noted(ctx) }).Should(Equal(kept(ctx)))
	})

	It("are written no second time", func(ctx context.Context) {
		r := &measure.Reconciler{
			Client: s.client, Clock: clock.RealClock{}, Cluster: "test",
			Repositories: repository.New(s.client, s.client, s.store, "test", outbound.Anywhere()),
		}
		Eventually(func(g Gomega) {
			before := lc(ctx)
			for range 2 {
				result, err := r.Reconcile(ctx, before.DeepCopy())
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(result.RequeueAfter).To(BeNumerically("~", 7*24*time.Hour, time.Hour), "when the first one leaves the week")
			}
			g.Expect(lc(ctx).ResourceVersion).To(Equal(before.ResourceVersion))
		}).Should(Succeed())
	})

	It("are known soon where Flux tells of a commit", func(ctx context.Context) {
		push(3)
		alert := `{"involvedObject":{"kind":"Kustomization","namespace":"shop","name":"checkout","apiVersion":"kustomize.toolkit.fluxcd.io/v1"},` +
			`"severity":"info","timestamp":"2026-11-23T12:00:00Z","message":"Reconciliation finished","reason":"ReconciliationSucceeded",` +
			`"metadata":{"kustomize.toolkit.fluxcd.io/revision":"main@sha1:` + commits[3] + `"},"reportingController":"kustomize-controller"}`
		path := "/hooks/flux/" + w.namespace + "/shop"
		code, _ := s.asks(ctx, http.MethodPost, path, alert, guard.SignatureHeader, "sha256="+strings.Repeat("0", 64))
		Expect(code).To(Equal(http.StatusUnauthorized))
		Expect(w.said(commits[3])).To(BeEmpty())
		mac := hmac.New(sha256.New, []byte(hmacKey))
		mac.Write([]byte(alert))
		code, answer := s.asks(ctx, http.MethodPost, path, alert, guard.SignatureHeader, fmt.Sprintf("sha256=%x", mac.Sum(nil)))
		Expect(code).To(Equal(http.StatusAccepted), answer)
		w.says(commits[3], "validate", "success: ")
	})

	It("are waited for at a gate", func(ctx context.Context) {
		code, answer := gate(ctx, 1)
		Expect(code).To(Equal(http.StatusConflict))
		Expect(answer).To(And(HaveField("Commit", commits[1]), HaveField("Environment", "production"), HaveField("Verdict", lifecyclev1.VerdictFail),
			HaveField("Message", ContainSubstring("error-ratio 3.1% ≥ 1%"))))
		Eventually(func() (string, error) {
			code, answer := gate(ctx, 3)
			if code != http.StatusServiceUnavailable || answer.Verdict != "pending" {
				return "", fmt.Errorf("%d: %+v", code, answer)
			}
			return answer.Message, nil
		}).Should(Equal("waiting for the rollout"))
		deploys(ctx, 3, "1", "success: ")
		Eventually(func() int { code, _ := gate(ctx, 3); return code }).Should(Equal(http.StatusOK))
		_, answer = gate(ctx, 3)
		Expect(answer).To(And(HaveField("Verdict", lifecyclev1.VerdictPass), HaveField("Commit", commits[3])))
		Eventually(record(ctx)).Should(And(HaveLen(5), ContainElement("3 success forward 1")))
	})

	It("fail by an incident that somebody tells of", func(ctx context.Context) {
		began := time.Now().UTC().Format(time.RFC3339)
		alert := `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"Slow"},"annotations":{"summary":"It is slow"},` +
			`"startsAt":"` + began + `","endsAt":"0001-01-01T00:00:00Z","fingerprint":"b2e4c1a9d3f05e77"}]}`
		path := "/incidents/alertmanager/" + w.namespace + "/checkout"
		code, _ := s.asks(ctx, http.MethodPost, path, alert)
		Expect(code).To(Equal(http.StatusUnauthorized))
		code, _ = s.asks(ctx, http.MethodPost, path, alert, "Authorization", "Bearer another")
		Expect(code).To(Equal(http.StatusUnauthorized))
		code, answer := s.asks(ctx, http.MethodPost, path, strings.Replace(alert, began, "0001-01-01T00:00:00Z", 1), "Authorization", "Bearer "+token)
		Expect(code).To(Equal(http.StatusBadRequest))
		Expect(answer).To(ContainSubstring("alerts[0].startsAt"))
		Expect(week(ctx)()).To(HaveField("ChangeFailRate", "0.2"))

		code, answer = s.asks(ctx, http.MethodPost, path, alert, "Authorization", "Bearer "+token)
		Expect(code).To(Equal(http.StatusOK), answer)
		Eventually(week(ctx)).Should(And(HaveField("ChangeFailRate", "0.4"), HaveField("Recoveries", BeEquivalentTo(1))))
		Expect(lc(ctx).Status.Deployments[0]).To(And(HaveField("Commit", commits[3]), HaveField("Causes", ConsistOf("incident"))))

		over := strings.NewReplacer("firing", "resolved", "0001-01-01T00:00:00Z", began).Replace(alert)
		code, answer = s.asks(ctx, http.MethodPost, path, over, "Authorization", "Bearer "+token)
		Expect(code).To(Equal(http.StatusOK), answer)
		Eventually(week(ctx)).Should(And(HaveField("ChangeFailRate", "0.4"), HaveField("Recoveries", BeEquivalentTo(2))))
	})

	It("are shown by gauges", func() {
		of := []string{"deployment_environment_name=production", "keptn_deployment_app_name=checkout", "keptn_deployment_app_namespace=" + w.namespace}
		for window, perDay := range map[string]float64{"7d": 0.7143, "30d": 0.1667, "90d": 0.0556} {
			in := append(slices.Clone(of), "keptn_dora_window="+window)
			Eventually(s.gauge("keptn_dora_deployments", in...)).Should(Equal([]float64{5}))
			Eventually(s.gauge("keptn_dora_deployment_frequency_per_day", in...)).Should(Equal([]float64{perDay}))
			Eventually(s.gauge("keptn_dora_change_fail_rate", in...)).Should(Equal([]float64{0.4}))
			Expect(s.gauge("keptn_dora_rework_rate", in...)()).To(Equal([]float64{0.2}))
			Expect(s.gauge("keptn_dora_recovery_seconds", in...)()).To(HaveLen(1))
			Expect(s.gauge("keptn_dora_lead_time_seconds", append(in, "quantile=0.9")...)()).To(ConsistOf(BeNumerically(">", 86400)))
		}
	})

	It("outlive the cluster, and count once", func(ctx context.Context) {
		Eventually(func() []string { return noted(ctx) }).Should(Equal(kept(ctx)))
		begun := func() (lines []string) {
			for _, d := range lc(ctx).Status.Deployments {
				lines = append(lines, d.Commit+" "+d.StartedAt.UTC().String())
			}
			return lines
		}
		before, was := record(ctx)(), begun()
		s.stop()
		for _, of := range []client.Object{
			&gitopsv1alpha1.GitSource{}, &gitopsv1alpha1.Lifecycle{}, &gitopsv1alpha1.SLOPolicy{},
			&lifecyclev1.KeptnAppVersion{}, &lifecyclev1.KeptnEvaluation{},
		} {
			Expect(kube.DeleteAllOf(ctx, of, client.InNamespace(w.namespace))).To(Succeed())
		}
		Expect(lc(ctx)).To(BeNil())
		s = runServed(ctx)
		w.source(ctx)
		Eventually(record(ctx)).Should(Equal(before))
		Eventually(func() *lifecyclev1.KeptnAppVersion { return w.delivery(ctx, commits[3]) }).ShouldNot(BeNil(), "what runs is delivered anew")
		Eventually(func() bool { return w.delivery(ctx, commits[3]).Status.Status.Completed() }).Should(BeTrue())
		Consistently(record(ctx), "500ms", "50ms").Should(Equal(before))
		Expect(begun()).To(Equal(was), "a check that is repeated is of the same deployment")
		Expect(week(ctx)()).To(And(HaveField("Deployments", BeEquivalentTo(5)), HaveField("ChangeFailRate", "0.2")))
	})
})
