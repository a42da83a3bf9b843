package main

import (
	"context"
	"fmt"
	"os/exec"
)

const (
	kwokPort       = 10247
	kwokAnnotation = "kwok.x-k8s.io/node"
)

// kwokCommand plays the kubelet of every node that is annotated as simulated.
func kwokCommand(b *bed) (*exec.Cmd, error) {
	return b.built("kwok",
		"--kubeconfig="+b.path("admin.kubeconfig"),
		"--manage-all-nodes=false",
		"--manage-nodes-with-annotation-selector="+kwokAnnotation+"=fake",
		"--cidr=10.245.0.0/16",
		"--node-ip="+b.Network.Node().String(),
		fmt.Sprintf("--server-address=127.0.0.1:%d", kwokPort),
		"--node-lease-duration-seconds=40",
		"--v=WARN",
	), nil
}

// simulateNodes makes the nodes that kwok plays, each with room for 1,000 pods.
// Beside a real node they take only pods that tolerate them.
func simulateNodes(ctx context.Context, b *bed) error {
	k, err := newKube(b)
	if err != nil {
		return err
	}
	spec := map[string]any{}
	if b.has("kubelet") {
		spec["taints"] = []map[string]string{{"key": kwokAnnotation, "value": "fake", "effect": "NoSchedule"}}
	}
	room := map[string]string{"cpu": "1000", "memory": "4Ti", "pods": "1000"}
	for i := range b.KwokNodes {
		name := fmt.Sprintf("kwok-%d", i)
		node := map[string]any{
			"apiVersion": "v1", "kind": "Node",
			"metadata": map[string]any{
				"name":        name,
				"annotations": map[string]string{kwokAnnotation: "fake"},
				"labels":      map[string]string{"type": "kwok", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
			},
			"spec": spec,
		}
		if err := k.apply(ctx, "/api/v1/nodes/"+name, node); err != nil {
			return err
		}
		if err := k.apply(ctx, "/api/v1/nodes/"+name+"/status", map[string]any{
			"apiVersion": "v1", "kind": "Node", "metadata": map[string]string{"name": name},
			"status": map[string]any{"capacity": room, "allocatable": room},
		}); err != nil {
			return err
		}
	}
	return nil
}
