"""Webhook configurations and admission policies: defaults, and what must be given.

Expressions are compiled here too, for their faults; those that run are compiled where they do.
"""
