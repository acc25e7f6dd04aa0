"""Controllers that keep pods: what they share, and one module or more for each type."""
