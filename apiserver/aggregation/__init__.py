"""Extension API servers: whom APIServices name, and what of the API they serve."""
