"""Black-box cases that run against any Kubernetes API server."""
