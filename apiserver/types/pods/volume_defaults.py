"""Defaults of the volumes of a pod, by kind of source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from apiserver.types.pods.images import default_pull_policy
from apiserver.types.pods.quantities import round_up_to_milli
from kube.json_types import JsonObject

_FILE_MODE: Final = 0o644
_TOKEN_LIFE_S: Final = 3600


def default_volume(volume: JsonObject) -> None:
    """Fill in one volume; a volume without a source becomes an empty directory."""
    for kind, source in volume.items():
        if kind in _DEFAULTS:
            _DEFAULTS[kind](source)
    if not any(kind != "name" for kind in volume):
        volume["emptyDir"] = {}


def default_claim_spec(spec: JsonObject) -> None:
    """Fill in a PersistentVolumeClaimSpec that is part of another type."""
    spec.setdefault("volumeMode", "Filesystem")
    for amounts in spec.get("resources", {}).values():
        round_up_to_milli(amounts)


def _default_mode(source: JsonObject) -> None:
    source.setdefault("defaultMode", _FILE_MODE)


def _default_downward(source: JsonObject) -> None:
    _default_downward_items(source)
    source.setdefault("defaultMode", _FILE_MODE)


def _default_downward_items(source: JsonObject) -> None:
    for item in source.get("items", ()):
        if "fieldRef" in item:
            item["fieldRef"].setdefault("apiVersion", "v1")
        if "resourceFieldRef" in item:
            item["resourceFieldRef"].setdefault("divisor", "0")


def _default_projected(source: JsonObject) -> None:
    for projection in source.get("sources", ()):
        if "serviceAccountToken" in projection:
            projection["serviceAccountToken"].setdefault("expirationSeconds", _TOKEN_LIFE_S)
        elif "downwardAPI" in projection:
            _default_downward_items(projection["downwardAPI"])
    source.setdefault("defaultMode", _FILE_MODE)


def _default_host_path(source: JsonObject) -> None:
    source.setdefault("type", "")


def _default_ephemeral(source: JsonObject) -> None:
    template = source.get("volumeClaimTemplate")
    if template is not None:
        default_claim_spec(template.setdefault("spec", {}))


def _default_image(source: JsonObject) -> None:
    if "pullPolicy" not in source:
        source["pullPolicy"] = default_pull_policy(source.get("reference", ""))


def _default_iscsi(source: JsonObject) -> None:
    source.setdefault("iscsiInterface", "default")


def _default_rbd(source: JsonObject) -> None:
    source.setdefault("pool", "rbd")
    source.setdefault("user", "admin")
    source.setdefault("keyring", "/etc/ceph/keyring")


def _default_azure_disk(source: JsonObject) -> None:
    source.setdefault("cachingMode", "ReadWrite")
    source.setdefault("fsType", "ext4")
    source.setdefault("readOnly", False)
    source.setdefault("kind", "Shared")


def _default_scale_io(source: JsonObject) -> None:
    source.setdefault("storageMode", "ThinProvisioned")
    source.setdefault("fsType", "xfs")


_DEFAULTS: Final[dict[str, Callable[[JsonObject], None]]] = {
    "configMap": _default_mode,
    "secret": _default_mode,
    "downwardAPI": _default_downward,
    "projected": _default_projected,
    "hostPath": _default_host_path,
    "ephemeral": _default_ephemeral,
    "image": _default_image,
    "iscsi": _default_iscsi,
    "rbd": _default_rbd,
    "azureDisk": _default_azure_disk,
    "scaleIO": _default_scale_io,
}
