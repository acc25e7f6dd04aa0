"""PodSecurity: the pod security standards, as namespaces' labels ask for them."""
