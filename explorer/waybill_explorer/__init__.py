"""The local backend: takes OTLP over gRPC and HTTP, keeps it in one SQLite file, answers Jaeger's query API."""
