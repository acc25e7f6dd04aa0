"""What the built-in types do beyond their schema: defaults, validation and strategies."""
