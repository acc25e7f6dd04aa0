"""The Kubernetes REST and watch API over the storage replica."""
