package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
)

// prometheusConfig scrapes the targets that followPods finds: Debian's Prometheus is
// built without the discovery of pods.
const prometheusConfig = `global:
  scrape_interval: 1s
  evaluation_interval: 1s
scrape_configs:
- job_name: prometheus
  static_configs: [{targets: ['127.0.0.1:%d']}]
- job_name: pods
  file_sd_configs: [{files: [%q], refresh_interval: 5s}]
`

func prometheusCommand(b *bed) (*exec.Cmd, error) {
	config := fmt.Sprintf(prometheusConfig, prometheusPort, b.targetsFile())
	if err := b.write("prometheus.yml", config); err != nil {
		return nil, err
	}
	// Prometheus watches only folders that were there when it started.
	if err := os.MkdirAll(b.path("targets"), 0o755); err != nil {
		return nil, fmt.Errorf("make room for targets: %w", err)
	}
	return b.process("/usr/bin/prometheus",
		"--config.file="+b.path("prometheus.yml"),
		"--storage.tsdb.path="+b.path("prometheus"),
		fmt.Sprintf("--web.listen-address=0.0.0.0:%d", prometheusPort),
		"--web.external-url="+b.url("http", prometheusPort),
		"--web.enable-lifecycle",
		"--log.level=warn",
	), nil
}

func prometheusReady(ctx context.Context, b *bed) error {
	return answers(ctx, http.DefaultClient, b.url("http", prometheusPort)+"/-/ready")
}

func (b *bed) targetsFile() string { return b.path("targets", "pods.json") }
