"""The service kit: what makes a Flask blueprint a service one would run in production.

It holds no business word and imports no service.
"""

from .otel_variables import check_variables

# Here, since OpenTelemetry reads some of them when it is imported, which the modules of the kit do.
check_variables()
