"""What Grafana is given: data sources, and dashboards that are generated from `grafana.dashboards`."""
