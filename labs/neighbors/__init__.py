"""Programs of other teams, which share a database with the shop. Each is a service on the kit."""
