"""What was published about clusters of this size, and where.

Figures are those of the text of "Under the hood: Amazon EKS ultra scale clusters" (AWS, 16 July
2025). Its plots have no numbers beside them, so none are given here for latencies over time or
rates of requests; the objectives it names for those are.
"""

from __future__ import annotations

from typing import Final

SOURCE: Final = "Under the hood: Amazon EKS ultra scale clusters (AWS, July 2025)"
SOURCE_URL: Final = (
    "https://aws.amazon.com/blogs/containers/under-the-hood-amazon-eks-ultra-scale-clusters/"
)
NODES: Final = 100_000
READY_NODES_PER_MINUTE: Final = 2_000
LAUNCH_MINUTES: Final = 50
SCALE_DOWN_MINUTES: Final = 70
PODS: Final = 900_000
OBJECTS: Final = 10_000_000
STORE_GB: Final = 32
SCHEDULER_PODS_PER_S: Final = 500
SINGLE_OBJECT_SLO_S: Final = 1.0
LIST_SLO_S: Final = 30.0
