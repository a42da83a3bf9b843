package main

import (
	"context"
	"os/exec"
)

const etcdURL = "http://127.0.0.1:2379"

// etcdCommand keeps the cluster's objects for as long as the testbed lives, so it
// has no reason to wait for the disk.
func etcdCommand(b *bed) (*exec.Cmd, error) {
	return b.built("etcd",
		"--data-dir="+b.path("etcd"),
		"--unsafe-no-fsync",
		"--listen-client-urls="+etcdURL, "--advertise-client-urls="+etcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380",
		"--quota-backend-bytes=4294967296",
		"--log-level=warn",
	), nil
}

func etcdReady(ctx context.Context, _ *bed) error { return answers(ctx, insecure, etcdURL+"/readyz") }

func apiServerCommand(b *bed) (*exec.Cmd, error) {
	pki := func(name string) string { return b.path("pki", name) }
	audit, err := auditFlags(b)
	if err != nil {
		return nil, err
	}
	return b.built("kube-apiserver", append(audit,
		"--etcd-servers="+etcdURL,
		"--bind-address=0.0.0.0", "--secure-port=6443",
		"--advertise-address="+b.Network.Node().String(),
		"--tls-cert-file="+pki("kube-apiserver.crt"), "--tls-private-key-file="+pki("kube-apiserver.key"),
		"--client-ca-file="+pki("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--service-cluster-ip-range="+serviceSubnet.String(),
		"--service-account-issuer=https://kubernetes.default.svc."+clusterDomain,
		"--service-account-key-file="+pki("accounts.key"),
		"--service-account-signing-key-file="+pki("accounts.key"),
		"--kubelet-certificate-authority="+pki("ca.crt"),
		"--kubelet-client-certificate="+pki("kubelet-client.crt"), "--kubelet-client-key="+pki("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file="+pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file="+pki("front-proxy-client.crt"), "--proxy-client-key-file="+pki("front-proxy-client.key"),
		"--enable-aggregator-routing=true",
	)...), nil
}

// auditFlags have the API server keep the audit log, if there is to be one, in a
// single file.
func auditFlags(b *bed) ([]string, error) {
	if b.AuditPolicy == "" {
		return nil, nil
	}
	if err := b.write("audit-policy.yaml", b.AuditPolicy); err != nil {
		return nil, err
	}
	return []string{
		"--audit-policy-file=" + b.path("audit-policy.yaml"),
		"--audit-log-path=" + b.auditLog(),
		"--audit-log-maxsize=100000", // MB
	}, nil
}

func apiServerReady(ctx context.Context, b *bed) error {
	k, err := newKube(b)
	if err != nil {
		return err
	}
	return answers(ctx, k.client, k.server+"/readyz")
}

func controllerManagerCommand(b *bed) (*exec.Cmd, error) {
	config := b.path("kube-controller-manager.kubeconfig")
	return b.built("kube-controller-manager",
		"--kubeconfig="+config, "--authentication-kubeconfig="+config, "--authorization-kubeconfig="+config,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file="+b.path("pki/accounts.key"),
		"--root-ca-file="+b.path("pki/ca.crt"),
		"--cluster-signing-cert-file="+b.path("pki/ca.crt"), "--cluster-signing-key-file="+b.path("pki/ca.key"),
		"--service-cluster-ip-range="+serviceSubnet.String(),
		"--horizontal-pod-autoscaler-sync-period=2s", // for tests not to wait for the default of 15 s
		"--kube-api-qps=200", "--kube-api-burst=400",
	), nil
}

// defaultAccountExists waits for what a first pod cannot be created without.
func defaultAccountExists(ctx context.Context, b *bed) error {
	k, err := newKube(b)
	if err != nil {
		return err
	}
	return eventually(ctx, func(ctx context.Context) error {
		return k.get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", nil)
	})
}

func schedulerCommand(b *bed) (*exec.Cmd, error) {
	config := b.path("kube-scheduler.kubeconfig")
	return b.built("kube-scheduler",
		"--kubeconfig="+config, "--authentication-kubeconfig="+config, "--authorization-kubeconfig="+config,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--kube-api-qps=200", "--kube-api-burst=400",
	), nil
}
