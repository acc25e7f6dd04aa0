"""What there is of a type, kept up to date by one watch for all who want to know.

`reflector.py` lists and watches, `store.py` keeps and indexes, `informer.py` tells handlers what
changed, many changes at a time.
"""
