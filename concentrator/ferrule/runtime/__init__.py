"""The shell: configuration, sockets, the driver that turns effects into deeds, health."""
