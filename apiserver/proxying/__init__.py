"""Passing requests on: to kubelets, to pods and services, and to extension API servers."""
