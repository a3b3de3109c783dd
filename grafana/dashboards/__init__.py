"""The dashboards as code; `make dashboards` writes them as the JSON beside this file, which Grafana loads."""
