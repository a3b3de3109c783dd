"""The dashboards as code; `make generate` writes them as the JSON beside this file, which Grafana loads."""
