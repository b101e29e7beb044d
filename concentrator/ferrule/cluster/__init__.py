"""How several concentrators act as one. For now: the shard bits in the names that we choose."""
