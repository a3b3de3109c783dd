"""Files into the store: OTLP/JSON of all signals, the lines of the Collector's file exporter, Jaeger's JSON."""
