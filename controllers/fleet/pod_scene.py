"""What a pod's containers find: variables, mounted files, the host's name, as a kubelet makes them.

A `Scene` is a pod with the ConfigMaps and Secrets that it names; a `ContainerWorld` is what one of
its containers sees of that. Rules: k8s.io/kubernetes pkg/kubelet (makeEnvironmentVariables),
third_party/forked/golang/expansion for `$(NAME)`, pkg/fieldpath for fields.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from controllers.fleet.pod_fields import Missing, field_text, resource_text
from kube.json_types import JsonObject

CONFIG_MAP: Final = "configmap"
SECRET: Final = "secret"
_SHOWN: Final = frozenset({"configMap", "secret", "downwardAPI", "projected"})
_REFERENCE: Final = re.compile(r"\$(?:\$|\(([^()]*)\))")
_TOKEN_VOLUME: Final = "kube-api-access-"
_DIRECTORIES: Final = ("/bin", "/dev", "/etc", "/home", "/proc", "/root", "/tmp", "/usr", "/var")
_BASE: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
}


class Reference(NamedTuple):
    """A ConfigMap or Secret that a pod names: its kind, name, and what for ("" for variables)."""

    kind: str
    name: str
    volume: str
    is_optional: bool


Held = Mapping[tuple[str, str], Mapping[str, bytes]]
"""What ConfigMaps and Secrets hold, by kind and name; those that are not there are left out."""


def references_of(obj: JsonObject, *, with_token: bool = False) -> list[Reference]:
    """Return what a pod's containers need.

    Args:
        obj: the pod.
        with_token: with what the volume needs that each pod gets for its account.
    """
    spec = obj["spec"]
    found: list[Reference] = []
    for group in ("initContainers", "containers"):
        for container in spec.get(group) or ():
            if container.get("env") or container.get("envFrom"):
                found += _of_variables(container)
    for volume in spec.get("volumes") or ():
        if with_token or not volume["name"].startswith(_TOKEN_VOLUME):
            found += _of_volume(volume)
    return found


def _of_variables(container: JsonObject) -> Iterator[Reference]:
    for source in container.get("envFrom") or ():
        for kind, key in ((CONFIG_MAP, "configMapRef"), (SECRET, "secretRef")):
            if named := source.get(key):
                yield Reference(kind, named["name"], "", bool(named.get("optional")))
    for one in container.get("env") or ():
        source = one.get("valueFrom") or {}
        for kind, key in ((CONFIG_MAP, "configMapKeyRef"), (SECRET, "secretKeyRef")):
            if named := source.get(key):
                yield Reference(kind, named["name"], "", bool(named.get("optional")))


def _of_volume(volume: JsonObject) -> Iterator[Reference]:
    for source in _sources(volume):
        for kind, key in ((CONFIG_MAP, "configMap"), (SECRET, "secret")):
            if (named := source.get(key)) is not None:
                name = named.get("name") or named.get("secretName") or ""
                yield Reference(kind, name, volume["name"], bool(named.get("optional")))


def _sources(volume: JsonObject) -> list[JsonObject]:
    projected = volume.get("projected")
    return [volume] if projected is None else projected.get("sources") or []


def held_of(kind: str, obj: JsonObject) -> dict[str, bytes]:
    """Return what a ConfigMap or Secret holds."""
    found: dict[str, bytes] = {}
    for key, text in (obj.get("data") or {}).items():
        found[key] = text.encode() if kind == CONFIG_MAP else _decoded(text)
    for key, text in (obj.get("binaryData") or {}).items():
        found[key] = _decoded(text)
    return found


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return b""


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with each `$(NAME)` replaced; `$$` is a `$`, and what has no value stays."""
    if "$" not in text:
        return text

    def replace(found: re.Match[str]) -> str:
        name = found.group(1)
        return "$" if name is None else variables.get(name, found.group())

    return _REFERENCE.sub(replace, text)


class Place(NamedTuple):
    """Where a pod is.

    Attributes:
        address, host: the pod's IP address, and its node's.
        allocatable: what its node has, for limits that are not set.
        cluster: variables that say where the API server is.
    """

    address: str
    host: str
    allocatable: Mapping[str, str]
    cluster: Mapping[str, str]


def service_variables(service: JsonObject) -> dict[str, str]:
    """Return what containers are told of a service (pkg/kubelet/envvars)."""
    name = service["metadata"]["name"].upper().replace("-", "_")
    host, found = service["spec"]["clusterIP"], dict[str, str]()
    for at, port in enumerate(service["spec"]["ports"]):
        number, protocol = str(port["port"]), port.get("protocol", "TCP")
        url = f"{protocol.lower()}://{host}:{number}"
        if not at:
            found |= {f"{name}_SERVICE_HOST": host, f"{name}_SERVICE_PORT": number}
            found[f"{name}_PORT"] = url
        if port.get("name"):
            found[f"{name}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = number
        prefix = f"{name}_PORT_{number}_{protocol}"
        found |= {prefix: url, f"{prefix}_PROTO": protocol.lower(), f"{prefix}_PORT": number}
        found[f"{prefix}_ADDR"] = host
    return found


class Scene:
    """See the module's head.

    Args of the constructor:
        obj: the pod; only what is needed of it is kept.
        held: what the ConfigMaps and Secrets hold that it names.
        place: where it is.

    Attributes:
        left: what init containers leave in their files, as far as that was found out.
    """

    def __init__(self, obj: JsonObject, held: Held, place: Place) -> None:
        spec, metadata = obj["spec"], obj["metadata"]
        names = ("name", "namespace", "uid", "labels", "annotations")
        self.metadata: JsonObject = {key: metadata[key] for key in names if key in metadata}
        self.spec: JsonObject = {
            key: spec[key]
            for key in ("nodeName", "serviceAccountName", "hostname", "volumes", "hostNetwork")
            if key in spec
        }
        groups = ("initContainers", "containers", "ephemeralContainers")
        self.inits = [one["name"] for one in spec.get("initContainers") or ()]
        self.containers = {one["name"]: one for group in groups for one in spec.get(group) or ()}
        self.held = held
        self.place = place
        self.left: dict[str, Mapping[str, bytes | None] | None] = {}

    @property
    def hostname(self) -> str:
        """The name of its host."""
        if self.spec.get("hostNetwork"):
            return str(self.spec.get("nodeName", ""))
        return str(self.spec.get("hostname") or self.metadata["name"])[:63]

    def field(self, path: str) -> str:
        """Return a field as the downward API has it; Missing: there is none."""
        values = {
            "spec.nodeName": str(self.spec.get("nodeName", "")),
            "spec.serviceAccountName": str(self.spec.get("serviceAccountName", "")),
            **dict.fromkeys(("status.podIP", "status.podIPs"), self.place.address),
            **dict.fromkeys(("status.hostIP", "status.hostIPs"), self.place.host),
        }
        return values[path] if path in values else field_text(self.metadata, path)


WrittenBefore = Callable[[Scene, str], Mapping[str, bytes | None] | None]
"""Returns what an init container leaves in its files; None: nobody knows."""


class ContainerWorld:
    """What a container finds around it; see machine.World.

    Args of the constructor:
        scene: the pod.
        name: the container's.
        written_before: finds out what init containers leave; None: that is not known.

    Raises (by the constructor):
        Missing: a variable has no value, so a kubelet would not make the container.
    """

    def __init__(
        self, scene: Scene, name: str, written_before: WrittenBefore | None = None
    ) -> None:
        self._scene = scene
        self._written_before = written_before
        self._container = scene.containers[name]
        self.hostname = scene.hostname
        self.address = scene.place.address
        self.environment: Mapping[str, str] = self._variables()
        self._files: dict[str, bytes] | None = None
        self._directories: set[str] = set()
        self._shared: list[str] = []

    # Variables -----------------------------------------------------------------------------------

    def _variables(self) -> dict[str, str]:
        found = {**_BASE, "HOSTNAME": self.hostname, **self._scene.place.cluster}
        for source in self._container.get("envFrom") or ():
            prefix = source.get("prefix") or ""
            for kind, key in ((CONFIG_MAP, "configMapRef"), (SECRET, "secretRef")):
                if named := source.get(key):
                    held = self._scene.held.get((kind, named["name"]), {})
                    for item, content in held.items():
                        found[prefix + item] = content.decode(errors="replace")
        for one in self._container.get("env") or ():
            source = one.get("valueFrom")
            if not source:
                found[one["name"]] = expand(one.get("value") or "", found)
            elif (value := self._from(source)) is not None:
                found[one["name"]] = value
        return found

    def _from(self, source: JsonObject) -> str | None:
        if field := source.get("fieldRef"):
            return self._scene.field(field["fieldPath"])
        if field := source.get("resourceFieldRef"):
            return self._resource(field)
        for kind, key in ((CONFIG_MAP, "configMapKeyRef"), (SECRET, "secretKeyRef")):
            if named := source.get(key):
                content = self._scene.held.get((kind, named["name"]), {}).get(named["key"])
                if content is not None:
                    return content.decode(errors="replace")
                if named.get("optional"):
                    return None
                namespace = self._scene.metadata["namespace"]
                title = "ConfigMap" if kind == CONFIG_MAP else "Secret"
                where = f"{title} {namespace}/{named['name']}"
                raise Missing(f"couldn't find key {named['key']} in {where}")
        return None

    def _resource(self, field: JsonObject) -> str:
        name = field.get("containerName") or self._container["name"]
        container = self._scene.containers.get(name) or {}
        return resource_text(container.get("resources") or {}, self._scene.place.allocatable, field)

    # Files ---------------------------------------------------------------------------------------

    def read(self, path: str) -> bytes | None:
        """Return a file's content; None: there is none."""
        return self._all().get(path)

    def names(self, path: str) -> list[str] | None:
        """Return what is in a directory; None: it is none."""
        files = self._all()
        start = path.rstrip("/") + "/"
        inner = [one for one in (*files, *self._directories) if one.startswith(start)]
        if not inner and path not in self._directories:
            return None
        return sorted({one[len(start) :].partition("/")[0] for one in inner})

    def is_shared(self, path: str) -> bool:
        """Tell whether others may have written there, so that nobody knows what there is."""
        self._all()
        return any(f"{path.rstrip('/')}/".startswith(f"{one}/") for one in self._shared)

    def _all(self) -> dict[str, bytes]:
        if self._files is None:
            self._files = self._make_files()
        return self._files

    def _make_files(self) -> dict[str, bytes]:
        hosts = f"127.0.0.1\tlocalhost\n{self.address}\t{self.hostname}\n"
        domain = f"{self._scene.metadata['namespace']}.svc.cluster.local"
        search = f"search {domain} svc.cluster.local cluster.local\nnameserver 10.96.0.10\n"
        files = {
            "/etc/hostname": f"{self.hostname}\n".encode(),
            "/etc/hosts": hosts.encode(),
            "/etc/resolv.conf": f"{search}options ndots:5\n".encode(),
        }
        self._directories.update(_DIRECTORIES)
        volumes = {one["name"]: one for one in self._scene.spec.get("volumes") or ()}
        for mount in self._container.get("volumeMounts") or ():
            path = mount["mountPath"].rstrip("/")
            inside = dict(self._contents(volumes.get(mount["name"]) or {}))
            sub = (mount.get("subPath") or mount.get("subPathExpr") or "").strip("/")
            if sub in inside:
                files[path] = inside[sub]
                continue
            self._directories.add(path)
            if (written := self._written(volumes.get(mount["name"]) or {})) is None:
                self._shared.append(path)
                continue
            inside |= written
            start = f"{sub}/" if sub else ""
            for name, content in inside.items():
                if name.startswith(start):
                    files[f"{path}/{name[len(start) :]}"] = content
        return files

    def _written(self, volume: JsonObject) -> dict[str, bytes] | None:
        """Return what init containers have left in a volume; None: nobody knows."""
        if not _SHOWN.isdisjoint(volume):
            return {}
        scene, own = self._scene, self._container["name"]
        if "emptyDir" not in volume:
            return None
        found: dict[str, bytes] = {}
        is_init = own in scene.inits
        before = scene.inits[: scene.inits.index(own)] if is_init else scene.inits
        for name, container in scene.containers.items():
            paths = _paths(container, volume["name"])
            if name == own or not paths or (is_init and name not in before):
                continue
            files = self._written_before(scene, name) if self._written_before else None
            if name not in before or files is None or len(paths) > 1:
                return None
            for path, content in files.items():
                if path.startswith(f"{paths[0]}/") and content is not None:
                    found[path[len(paths[0]) + 1 :]] = content
        return found

    def _contents(self, volume: JsonObject) -> Iterator[tuple[str, bytes]]:
        for source in _sources(volume):
            for kind, key in ((CONFIG_MAP, "configMap"), (SECRET, "secret")):
                if (named := source.get(key)) is not None:
                    name = named.get("name") or named.get("secretName") or ""
                    yield from _chosen(self._scene.held.get((kind, name), {}), named.get("items"))
            if (shown := source.get("downwardAPI")) is not None:
                for item in shown.get("items") or ():
                    yield item["path"], self._shown(item).encode()

    def _shown(self, item: JsonObject) -> str:
        try:
            if field := item.get("fieldRef"):
                return self._scene.field(field["fieldPath"])
            return self._resource(item.get("resourceFieldRef") or {})
        except Missing:
            return ""


def _paths(container: JsonObject, volume: str) -> list[str]:
    """Return where a container has a volume."""
    mounts = container.get("volumeMounts") or ()
    return [one["mountPath"].rstrip("/") for one in mounts if one["name"] == volume]


def _chosen(held: Mapping[str, bytes], items: Iterable[Any] | None) -> Iterator[tuple[str, bytes]]:
    if not items:
        yield from held.items()
        return
    for item in items:
        if item["key"] in held:
            yield item["path"], held[item["key"]]
