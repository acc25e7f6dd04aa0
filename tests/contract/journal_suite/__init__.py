"""The journal's contract as functions over a factory, one module a verb.

Each case takes a `Harness`; thin files beside this package run them all against each engine.
"""
