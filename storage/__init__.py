"""A partitioned, in-memory MVCC store: a deterministic replica of the journal."""
