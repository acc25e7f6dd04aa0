"""Pods and their volumes: which nodes can have them, and binding them before the pod is bound.

Start at `plugin.py` (what the scheduler asks) and `binding.py` (what is written). Facts about
claims and volumes are shared with the controllers (`controllers/volumes/facts.py`).
"""
