"""The explorer: takes OTLP over gRPC and HTTP, keeps it in one SQLite file, serves Jaeger's query API and a page."""
