"""Admission: what looks at a write after its user was let in, and before it is stored.

`attributes` is what is looked at, `chain` the order, each other module a plugin of upstream's name.
"""
