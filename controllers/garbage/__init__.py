"""The garbage collector: deletes what has lost its owners, and what an owner takes along.

`graph.py` is what is known of who owns whom, `monitors.py` feeds it from watches of all types,
`collector.py` decides with the live objects at hand, `requests.py` asks and writes.
"""
