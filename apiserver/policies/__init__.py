"""Admission policies: rules that users write as expressions, for objects of any type."""
