"""Who is asked what users may do, and in which order: upstream's AuthorizationConfiguration."""
