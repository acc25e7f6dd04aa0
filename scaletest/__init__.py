"""The scale test: published experiments with very large clusters, replayed on one machine."""
