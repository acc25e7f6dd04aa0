"""The verbs: what a request does, in upstream's order of steps."""
