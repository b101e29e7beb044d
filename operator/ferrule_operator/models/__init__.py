"""The resources as models: what stands in spec and status, with defaults and descriptions."""
