"""Nodes: whether they live, what that means for their pods, and which addresses their pods get."""
