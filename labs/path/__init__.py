"""Instrument it yourself: a service without telemetry, nine steps, and a checker that looks at what arrives."""
