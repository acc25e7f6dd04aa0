"""The three ways to change a part of an object: JSON patch, merge patch, strategic merge patch.

All of them return a new document and leave the given one and the patch as they were; what did not
change is shared with the given document, so a caller that goes on to change the result in place
must not need the old document afterwards. Parts of the patch are copied into the result: a patch
may be applied again after a conflict. Refusals are `StatusError`s as upstream answers them.
"""

from __future__ import annotations

from kube.patch.merge import merge_patch
from kube.patch.operations import OPERATIONS_MAX, json_patch, unknown_operation_fields
from kube.patch.strategic import strategic_merge

__all__ = [
    "OPERATIONS_MAX",
    "json_patch",
    "merge_patch",
    "strategic_merge",
    "unknown_operation_fields",
]
