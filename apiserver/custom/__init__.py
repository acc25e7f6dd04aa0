"""Custom resources: the types that CustomResourceDefinitions add, served as built-in ones are."""
