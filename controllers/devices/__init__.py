"""Devices that are tainted, and the pods that must give them back for it."""
