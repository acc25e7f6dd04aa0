"""The scheduler: which node each pod is to run on.

Start at `scheduler.py` (the loop) and `solver.py` (how pods of equal requirements are decided).
"""
