"""CEL as Kubernetes means it: rules of custom resources, conditions of admission."""
