"""Simulated nodes: machines that are none, with pods that live as if they ran there.

`machines.py` says what nodes look like, `nodes.py` and `heartbeats.py` keep them alive in the API;
`lives.py` says what happens to pods when, `containers.py` and `pod_life.py` how one lives, and
`pods.py` runs all of them. `kubelet.py` answers what only a node can: logs, exec, port-forward.
"""
