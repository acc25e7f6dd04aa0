"""The experiments, in their order: each a coroutine over a stage, and how long it may take."""
