"""Order and durability: an append-only log of opaque records, a process of its own."""
