"""Schemas of custom resources: structure, pruning, defaults, validation; no I/O."""
