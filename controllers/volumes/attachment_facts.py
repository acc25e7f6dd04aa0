"""How attachments are called, and which volumes may be at one node only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

from controllers.volumes import facts
from kube.json_types import JsonObject

ATTACHMENTS: Final = "/apis/storage.k8s.io/v1/volumeattachments"
DRIVERS: Final = "/apis/storage.k8s.io/v1/csidrivers"
MANAGED: Final = "volumes.kubernetes.io/controller-managed-attach-detach"
KEEP_TERMINATED: Final = "volumes.kubernetes.io/keep-terminated-pod-volumes"
NODE_OF_INDEX: Final = "node"
VOLUME_OF_INDEX: Final = "volume"
_SHARED: Final = frozenset({"ReadWriteMany", "ReadOnlyMany"})


class Source(NamedTuple):
    """A volume of a CSI driver.

    Attributes:
        volume: the name of its PersistentVolume.
        driver, handle: as the driver knows it.
        is_exclusive: whether it may be at one node only.
    """

    volume: str
    driver: str
    handle: str
    is_exclusive: bool

    @property
    def unique_name(self) -> str:
        """How nodes call it in their status."""
        return f"kubernetes.io/csi/{self.driver}^{self.handle}"

    def attachment(self, node: str) -> str:
        """Return the name of its attachment to a node, the same for whoever works it out."""
        text = f"{self.handle}{self.driver}{node}"
        return f"csi-{hashlib.sha256(text.encode()).hexdigest()}"


def source_of(volume: JsonObject) -> Source | None:
    """Return what a volume is to its CSI driver; None: it has none."""
    csi = volume["spec"].get("csi")
    if not csi:
        return None
    modes = facts.access_modes(volume)
    is_exclusive = bool(modes) and _SHARED.isdisjoint(modes)
    return Source(volume["metadata"]["name"], csi["driver"], csi["volumeHandle"], is_exclusive)


def node_of_attachment(attachment: JsonObject) -> str:
    """Return where a volume is attached (NODE_OF_INDEX)."""
    node: str = attachment["spec"]["nodeName"]
    return node


def volume_of_attachment(attachment: JsonObject) -> str | tuple[str, ...]:
    """Return which volume is attached (VOLUME_OF_INDEX)."""
    return attachment["spec"]["source"].get("persistentVolumeName") or ()


def is_attached(attachment: JsonObject) -> bool:
    """Tell whether a driver says that it has attached the volume."""
    return bool((attachment.get("status") or {}).get("attached"))


def attach_error(attachment: JsonObject) -> str:
    """Return why a driver could not attach the volume."""
    error = (attachment.get("status") or {}).get("attachError") or {}
    text: str = error.get("message", "")
    return text


def needs_volumes(pod: JsonObject, *, keeps_terminated: bool) -> bool:
    """Tell whether a pod has, or will have, containers that use its volumes."""
    if keeps_terminated:
        return True
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return False
    return "deletionTimestamp" not in pod["metadata"] or not _all_stopped(
        status.get("containerStatuses") or ()
    )


def _all_stopped(statuses: Iterable[JsonObject]) -> bool:
    states = [one.get("state") or {} for one in statuses]
    return all("terminated" in state or "waiting" in state for state in states)
