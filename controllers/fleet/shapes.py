"""What a pod's spec says of its life, shared by all pods of a template."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from controllers.fleet.last_words import USUAL, LastWords, last_words_of
from controllers.fleet.scripts import Understood, understand
from kube.informers.specs import OfOrigin
from kube.json_types import JsonObject

_SHAPES_MAX: Final = 8192
_SHELL_IMAGES: Final = frozenset({"alpine", "bash", "busybox", "debian", "fedora", "ubuntu"})
"""Images that run a shell unless they are told otherwise."""
_COMPONENT: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE: Final = re.compile(
    rf"(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]+)?/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::\w[\w.-]{0,127})?(?:@[A-Za-z][\w+.-]*:[0-9a-fA-F]{32,})?",
    re.ASCII,
)
"""The reference of an image, as github.com/distribution/reference has it."""
CRITICAL: Final = 2_000_000_000
"""Pods of this priority are not evicted, as upstream's critical ones."""


class ContainerShape(NamedTuple):
    """A container of a spec.

    Attributes:
        image, image_id: as a runtime names them.
        is_init: whether it runs before others; is_sidecar: and then beside them.
        policy: whether it is restarted: Always, OnFailure, Never.
        ready_s, started_s: when its probes are first asked, after it runs.
        resources: as the spec has them.
        command: what it runs, if that is understood; reads: whether its standard input is open.
        is_ephemeral: whether it was added to a pod that was there, as by `kubectl debug`.
        last_words: where its termination message is.
    """

    name: str
    image: str
    image_id: str
    is_init: bool
    is_sidecar: bool
    policy: str
    ready_s: float
    started_s: float
    resources: JsonObject | None
    command: Understood | None = None
    reads: bool = False
    is_ephemeral: bool = False
    last_words: LastWords = USUAL


class HostPort(NamedTuple):
    """A port of the node's that a pod wants; the address is 0.0.0.0 for all of them."""

    protocol: str
    address: str
    port: int


class PodShape(NamedTuple):
    """A spec.

    Attributes:
        containers: init containers first.
        inits: how many of those there are.
        gates: the conditions that readiness waits for.
        ports: those of the node that it wants.
        ephemerals: containers that were added later.
        bad_image: an image whose name is none; empty: all are.
    """

    containers: tuple[ContainerShape, ...]
    inits: int
    gates: tuple[str, ...]
    uses_host_network: bool
    deadline_s: float | None
    priority: int
    ports: tuple[HostPort, ...]
    ephemerals: tuple[ContainerShape, ...] = ()
    bad_image: str = ""

    @property
    def images(self) -> tuple[str, ...]:
        """What is pulled."""
        return tuple(one.image for one in self.containers)


_shapes: dict[bytes, PodShape] = {}


def shape_of(spec: JsonObject) -> PodShape:
    """Return what a spec says; pods of one template get the same."""
    return _of_origin.of(spec)


def _shape_of(spec: JsonObject) -> PodShape:
    inits, mains = spec.get("initContainers") or (), spec["containers"]
    # What is different in each pod of a template, names of token volumes, is not looked at.
    key = orjson.dumps(
        [
            [_brief(one) for one in inits],
            [_brief(one) for one in mains],
            spec.get("restartPolicy"),
            spec.get("readinessGates"),
            spec.get("hostNetwork"),
            spec.get("activeDeadlineSeconds"),
            spec.get("priority"),
            [_brief(one) for one in spec.get("ephemeralContainers") or ()],
        ]
    )
    shape = _shapes.get(key)
    if shape is None:
        if len(_shapes) >= _SHAPES_MAX:
            _shapes.clear()
        shape = _shapes[key] = _shape(spec)
    return shape


_of_origin: Final = OfOrigin(_shape_of)
_labels: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}


def shared_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return what is equal to `labels`, and the same for all pods of a template."""
    key = tuple(labels.items())
    found = _labels.get(key)
    if found is None:
        if len(_labels) >= _SHAPES_MAX:
            _labels.clear()
        found = _labels[key] = labels
    return found


def _brief(container: JsonObject) -> list[Any]:
    return [
        container["name"],
        container.get("image"),
        container.get("resources"),
        container.get("restartPolicy"),
        container.get("readinessProbe"),
        container.get("startupProbe"),
        container.get("command"),
        container.get("args"),
        container.get("stdin"),
        container.get("ports"),
        container.get("terminationMessagePath"),
        container.get("terminationMessagePolicy"),
    ]


def _shape(spec: JsonObject) -> PodShape:
    policy = spec.get("restartPolicy") or "Always"
    inits = [_container(one, policy, is_init=True) for one in spec.get("initContainers") or ()]
    mains = [_container(one, policy, is_init=False) for one in spec["containers"]]
    deadline = spec.get("activeDeadlineSeconds")
    return PodShape(
        (*inits, *mains),
        len(inits),
        tuple(one["conditionType"] for one in spec.get("readinessGates") or ()),
        bool(spec.get("hostNetwork")),
        None if deadline is None else float(deadline),
        int(spec.get("priority") or 0),
        tuple(_host_ports(spec)),
        tuple(
            _container(one, "Never", is_init=False)._replace(is_ephemeral=True)
            for one in spec.get("ephemeralContainers") or ()
        ),
        _bad_image(spec),
    )


def _bad_image(spec: JsonObject) -> str:
    images = (
        one.get("image") or "" for one in (*(spec.get("initContainers") or ()), *spec["containers"])
    )
    return next((one for one in images if one and not _IMAGE.fullmatch(one)), "")


def _host_ports(spec: JsonObject) -> Iterator[HostPort]:
    inits = spec.get("initContainers") or ()
    # Of init containers those have ports that stay, as the scheduler counts them.
    sidecars = [one for one in inits if one.get("restartPolicy") == "Always"]
    for container in (*sidecars, *spec["containers"]):
        for entry in container.get("ports") or ():
            if port := entry.get("hostPort"):
                address = entry.get("hostIP") or "0.0.0.0"
                yield HostPort(entry.get("protocol") or "TCP", address, port)


def _container(container: JsonObject, policy: str, *, is_init: bool) -> ContainerShape:
    own = container.get("restartPolicy")
    is_sidecar = is_init and own == "Always"
    if is_init and not is_sidecar and policy == "Always":
        policy = "OnFailure"
    image = full_image_name(container.get("image") or "")
    return ContainerShape(
        container["name"],
        image,
        _image_id(image),
        is_init,
        is_sidecar,
        own or policy,
        _first_s(container.get("readinessProbe")),
        _first_s(container.get("startupProbe")),
        container.get("resources") or None,
        _command(container, image),
        bool(container.get("stdin")),
        last_words=last_words_of(container),
    )


def _command(container: JsonObject, image: str) -> Understood | None:
    """Return what is known of a container's command.

    What an image's entrypoint does is not known: its arguments are taken for a command.
    """
    words = (*(container.get("command") or ()), *(container.get("args") or ()))
    if not words and container.get("stdin") and _name_of(image) in _SHELL_IMAGES:
        words = ("sh",)
    return understand(words)


def _name_of(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _first_s(probe: JsonObject | None) -> float:
    return float(probe.get("initialDelaySeconds") or 0) if probe else 0.0


@lru_cache(maxsize=_SHAPES_MAX)
def full_image_name(image: str) -> str:
    """Return an image's name with registry and tag, as a runtime tells it."""
    first, slash, _ = image.partition("/")
    if not slash:
        image = f"docker.io/library/{image}"
    elif not ("." in first or ":" in first or first == "localhost"):
        image = f"docker.io/{image}"
    if "@" in image or ":" in image.rpartition("/")[2]:
        return image
    return f"{image}:latest"


def _image_id(image: str) -> str:
    name, at, digest = image.partition("@")
    if at:
        return f"{name}@{digest}"
    head, slash, tail = name.rpartition("/")
    digest = hashlib.sha256(image.encode()).hexdigest()
    return f"{head}{slash}{tail.partition(':')[0]}@sha256:{digest}"
