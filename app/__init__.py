"""The service kit: what makes a Flask blueprint a service one would run in production.

It holds no business word and imports no service.
"""
