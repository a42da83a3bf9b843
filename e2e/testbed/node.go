package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
)

// containerdSocket is inside the sandbox, whose /run is its own.
const containerdSocket = "/run/containerd/containerd.sock"

const containerdConfig = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.internal.v1.opt",
  "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  # Machines that are virtual themselves forbid lowering the score, and runc dies of it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = %q
`

// cniConfig gives every pod a cable of its own to the node.
const cniConfig = `{
  "cniVersion": "0.4.0",
  "name": "testbed",
  "plugins": [
    {
      "type": "ptp",
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/cni",
        "ranges": [[{"subnet": %q}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`

func containerdCommand(b *bed) (*exec.Cmd, error) {
	if err := b.write("cni/10-testbed.conflist", fmt.Sprintf(cniConfig, podSubnet)); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(containerdConfig, containerdSocket, pauseImage, b.path("cni"))
	if err := b.write("containerd.toml", config); err != nil {
		return nil, err
	}
	return b.process("/usr/bin/containerd", "--config", b.path("containerd.toml")), nil
}

func containerdReady(ctx context.Context, _ *bed) error {
	return exec.CommandContext(ctx, "/usr/bin/ctr", "--address", containerdSocket, "version").Run()
}

// kubeletConfig differs from a kubelet's own defaults in what cannot be had on a
// test machine, and in that it never removes an image: none could be pulled again.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %q}
authorization: {mode: Webhook}
tlsCertFile: %q
tlsPrivateKeyFile: %q
containerRuntimeEndpoint: unix://%s
clusterDNS: [%s]
clusterDomain: %s
resolvConf: /dev/null
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
failSwapOn: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 0%%, nodefs.available: 0%%, nodefs.inodesFree: 0%%, imagefs.available: 0%%, imagefs.inodesFree: 0%%}
volumePluginDir: /var/lib/kubelet/volumeplugins
`

func kubeletCommand(b *bed) (*exec.Cmd, error) {
	if err := masqueradePods(); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(kubeletConfig, b.path("pki/ca.crt"), b.path("pki/kubelet-serving.crt"), b.path("pki/kubelet-serving.key"),
		containerdSocket, dnsServiceIP, clusterDomain)
	if err := b.write("kubelet.yaml", config); err != nil {
		return nil, err
	}
	return b.built("kubelet",
		"--config="+b.path("kubelet.yaml"),
		"--kubeconfig="+b.path("kubelet.kubeconfig"),
		"--hostname-override="+nodeName,
		"--node-ip="+b.Network.Node().String(),
	), nil
}

// masqueradePods lets pods reach the machine, which knows no way back to them.
func masqueradePods() error {
	rule := []string{"POSTROUTING", "-s", podSubnet, "-o", "eth0", "-j", "MASQUERADE"}
	if exec.Command("iptables", append([]string{"-w", "-t", "nat", "-C"}, rule...)...).Run() == nil {
		return nil
	}
	if out, err := exec.Command("iptables", append([]string{"-w", "-t", "nat", "-A"}, rule...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("masquerade pods: %w: %s", err, out)
	}
	return nil
}

// nodeReady waits until pods can be scheduled to the node.
func nodeReady(ctx context.Context, b *bed) error {
	k, err := newKube(b)
	if err != nil {
		return err
	}
	return eventually(ctx, func(ctx context.Context) error {
		var node struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
		if err := k.get(ctx, "/api/v1/nodes/"+nodeName, &node); err != nil {
			return err
		}
		for _, c := range node.Status.Conditions {
			if c.Type == "Ready" && c.Status == "True" {
				return nil
			}
			if c.Type == "Ready" {
				return fmt.Errorf("node is not ready: %s", c.Message)
			}
		}
		return fmt.Errorf("node has not said whether it is ready")
	})
}

func kubeProxyCommand(b *bed) (*exec.Cmd, error) {
	return b.built("kube-proxy",
		"--kubeconfig="+b.path("kube-proxy.kubeconfig"),
		"--hostname-override="+nodeName,
		"--proxy-mode=iptables",
		"--cluster-cidr="+podSubnet,
		"--bind-address="+b.Network.Node().String(),
		"--healthz-bind-address=127.0.0.1:10256",
		"--iptables-min-sync-period=100ms",
		// These are the machine's to decide.
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
	), nil
}

// corefile answers for the cluster, and says of all other names that they do not
// exist: there is nobody to ask.
const corefile = `%[1]s in-addr.arpa ip6.arpa {
    bind %[2]s
    errors
    ready 127.0.0.1:8181
    kubernetes %[1]s in-addr.arpa ip6.arpa {
        kubeconfig %[3]s
        pods insecure
    }
}
. {
    bind %[2]s
    errors
    template ANY ANY {
        rcode NXDOMAIN
    }
}
`

func corednsCommand(b *bed) (*exec.Cmd, error) {
	text := fmt.Sprintf(corefile, clusterDomain, b.Network.Node(), b.path("admin.kubeconfig"))
	if err := b.write("Corefile", text); err != nil {
		return nil, err
	}
	return b.built("coredns", "-conf", b.path("Corefile")), nil
}

// corednsReady asks CoreDNS for the one Service that is always there.
func corednsReady(ctx context.Context, b *bed) error {
	server := b.address(dnsPort)
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, server)
	}}
	if _, err := resolver.LookupHost(ctx, "kubernetes.default.svc."+clusterDomain+"."); err != nil {
		return fmt.Errorf("ask for the API server's name: %w", err)
	}
	return nil
}

// publishDNS makes CoreDNS, which is no pod, the endpoint of the cluster's DNS Service.
func publishDNS(ctx context.Context, b *bed) error {
	k, err := newKube(b)
	if err != nil {
		return err
	}
	ports := []map[string]any{
		{"name": "dns", "port": dnsPort, "protocol": "UDP"},
		{"name": "dns-tcp", "port": dnsPort, "protocol": "TCP"},
	}
	service := map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"name": "kube-dns", "namespace": "kube-system", "labels": map[string]string{"k8s-app": "kube-dns"}},
		"spec":     map[string]any{"clusterIP": dnsServiceIP.String(), "ports": ports},
	}
	if err := k.apply(ctx, "/api/v1/namespaces/kube-system/services/kube-dns", service); err != nil {
		return err
	}
	return k.apply(ctx, "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns", map[string]any{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
		"metadata":    map[string]any{"name": "kube-dns", "labels": map[string]string{"kubernetes.io/service-name": "kube-dns"}},
		"addressType": "IPv4",
		"ports":       ports,
		"endpoints":   []map[string]any{{"addresses": []string{b.Network.Node().String()}, "conditions": map[string]bool{"ready": true}}},
	})
}

// makeStateFolders makes what the testbed's processes expect to find.
func (b *bed) makeStateFolders() error {
	for _, dir := range []string{"home", "tmp", "logs", "git", "gitea"} {
		if err := os.MkdirAll(b.path(dir), 0o755); err != nil {
			return fmt.Errorf("make a state folder: %w", err)
		}
	}
	return nil
}
