"""The claims that pods of one shape use."""

from __future__ import annotations

from typing import NamedTuple

from controllers.scheduler.shapes import Shape


class Use(NamedTuple):
    """A claim that a pod uses.

    Attributes:
        key: "namespace/name".
        is_made: it is made for the pod's ephemeral volume.
    """

    key: str
    is_made: bool

    @property
    def name(self) -> str:
        """The claim's name."""
        return self.key.partition("/")[2]


def uses_of(shape: Shape) -> tuple[Use, ...]:
    """Return the claims that pods of a shape use, in the order of their volumes."""
    found = []
    for volume in shape.volumes:
        if volume.get("persistentVolumeClaim") is not None:
            name = volume["persistentVolumeClaim"].get("claimName", "")
            found.append(Use(f"{shape.namespace}/{name}", is_made=False))
        elif volume.get("ephemeral") is not None:
            found.append(Use(f"{shape.namespace}/{shape.pod_name}-{volume['name']}", is_made=True))
    return tuple(found)
