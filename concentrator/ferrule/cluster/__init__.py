"""How several concentrators act as one: shards, members, the ring between them. Pure."""
