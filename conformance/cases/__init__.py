"""The cases, in modules by subject; `conformance.registry` finds them."""
