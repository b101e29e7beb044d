"""What the members of a gateway share: one interface, in the process's memory or in Valkey."""
