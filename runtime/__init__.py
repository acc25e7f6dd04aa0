"""What every part stands on: clocks, supervised tasks, bounded queues.

Knows nothing of logs or Kubernetes.
"""
