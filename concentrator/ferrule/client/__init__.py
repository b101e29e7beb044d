"""The initiator: `ferrule probe` and the load generator, on the same protocol layers."""
