"""The scale subresource of a custom type: replicas and selector where its definition says."""

from __future__ import annotations

from typing import Any, Final

from kube import status as st
from kube.json_types import JsonObject
from kube.managed.sets import Path

_UNSET: Final = -(1 << 31)
"""What a Scale to be written says of replicas that the object does not have: it must set them."""
_METADATA: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.removeprefix(".").split(".")) if path else ()


def _find(obj: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if not isinstance(obj, dict):
            return None
        obj = obj.get(part)
    return obj


class CustomScale:
    """Where a version has what a Scale shows.

    Args of the constructor:
        scale: `subresources.scale` of the version.
    """

    def __init__(self, scale: JsonObject) -> None:
        self._shown = scale.get("specReplicasPath") or ""
        self._wanted = _parts(self._shown)
        self._there = _parts(scale.get("statusReplicasPath") or "")
        self._selector = _parts(scale.get("labelSelectorPath") or "")

    @property
    def path(self) -> Path:
        """The field that holds the replicas wanted, as managedFields name it."""
        return tuple(f"f:{part}" for part in self._wanted)

    def scale_of(self, obj: JsonObject) -> JsonObject:
        """Return the Scale of an object.

        Raises:
            StatusError: 400, it says nothing of replicas.
        """
        scale = self.live_scale(obj)
        if scale["spec"].get("replicas") == _UNSET:
            text = f'the spec replicas field "{self._shown}" does not exist'
            raise st.bad_request(text)
        return scale

    def live_scale(self, obj: JsonObject) -> JsonObject:
        """Return the Scale of an object that is to be written, which may have no replicas yet."""
        meta = obj["metadata"]
        wanted, there = _find(obj, self._wanted), _find(obj, self._there)
        selector = _find(obj, self._selector) if self._selector else None
        status: JsonObject = {"replicas": there if isinstance(there, int) else 0}
        if isinstance(selector, str) and selector:
            status["selector"] = selector
        replicas = wanted if isinstance(wanted, int) else _UNSET
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {key: meta[key] for key in _METADATA if key in meta},
            # Zero is the zero value of a plain field, which is not written.
            "spec": {"replicas": replicas} if replicas else {},
            "status": status,
        }

    def apply_scale(self, obj: JsonObject, scale: JsonObject) -> None:
        """Set an object's replicas to those of a Scale, in place.

        Raises:
            StatusError: 400, it has none, or the object has no place for them.
        """
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if replicas == _UNSET:
            raise st.bad_request(f'the spec replicas field "{self._shown}" cannot be empty')
        holder: Any = obj
        for part in self._wanted[:-1]:
            holder = holder.setdefault(part, {})
            if not isinstance(holder, dict):
                text = (
                    f"value cannot be set because {self._shown} is not a map[string]interface{{}}"
                )
                raise st.bad_request(text)
        holder[self._wanted[-1]] = replicas
        if wanted := (scale.get("metadata") or {}).get("resourceVersion"):
            obj["metadata"]["resourceVersion"] = wanted
