"""Device claims (dynamic resource allocation): which devices a pod gets, and on which nodes.

Start at `plugin.py` (what the scheduler asks), `search.py` (how devices are chosen) and
`binding.py` (what is written).
"""
