"""A lean OpenTelemetry SDK: the official API, instrumentors and output at a part of the cost."""
