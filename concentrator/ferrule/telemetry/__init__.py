"""Metrics, logs and the canonical line of a session."""
