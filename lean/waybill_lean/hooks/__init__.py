"""Lean hooks: the official instrumentors' spans and metrics; what does not change from call to call is worked out once.

Each class replaces the official instrumentor of the same name; what the hooks do not support, the official one does.
"""
