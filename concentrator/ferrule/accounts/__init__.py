"""Who may log in, with what, from which pool, how often: users, verifiers, leases, lock-out."""
