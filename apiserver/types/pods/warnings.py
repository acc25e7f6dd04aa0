"""What the server warns of in pods and templates that are valid, but hardly meant. At creation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from apiserver.types.formats import is_dns1123_label
from apiserver.types.pods.annotations import APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD
from apiserver.types.pods.quantities import is_whole
from apiserver.types.pods.windows import each_container
from kube.field import quote
from kube.json_types import JsonObject

_NODE_LABELS: Final = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
}
_ANNOTATIONS: Final = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": (
        'non-functional in v1.11+; use the "sysctls" field instead'
    ),
    "security.alpha.kubernetes.io/unsafe-sysctls": (
        'non-functional in v1.11+; use the "sysctls" field instead'
    ),
}
_VOLUMES: Final = {
    "photonPersistentDisk": ("photonPersistentDisk", "v1.11, non-functional in v1.16+"),
    "gitRepo": ("gitRepo", "v1.11"),
    "scaleIO": ("scaleIO", "v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "v1.25, non-functional in v1.26+"),
    "cephfs": ("cephfs", "v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "v1.28, non-functional in v1.31+"),
}
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_SECCOMP_ADVICE: Final = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_NULL_SELECTOR: Final = "a null labelSelector results in matching no pod"


def pod_warnings(new: JsonObject, old: JsonObject | None) -> list[str]:
    """Return the warnings of a new pod; updates have none, as upstream leaves them out."""
    if old is not None:
        return []
    return [*name_warnings(new["metadata"].get("name", "")), *_warnings(new, "", template=False)]


def name_warnings(name: str) -> list[str]:
    """Return the warnings that a pod's name alone gives."""
    if faults := is_dns1123_label(name):
        return [
            "metadata.name: this is used in the Pod's hostname, which can result in surprising "
            f"behavior; a DNS label is recommended: [{' '.join(faults)}]"
        ]
    return []


def template_warnings(template: JsonObject, path: str) -> list[str]:
    """Return the warnings of a pod template at `path`."""
    return list(_warnings(template, f"{path}.", template=True))


def _warnings(pod: JsonObject, path: str, *, template: bool) -> Iterator[str]:
    """Yield the warnings of a pod or template, `path` being empty or ending with a dot."""
    spec = pod.get("spec", {})
    annotations = pod.get("metadata", {}).get("annotations", {})
    where = f"{path}spec"
    yield from _scheduling_warnings(spec, where)
    if annotations:
        yield from _profile_warnings(spec, annotations, path, template=template)
    if "volumes" in spec:
        yield from _volume_warnings(spec["volumes"], f"{where}.volumes")
    if "hostAliases" in spec or "imagePullSecrets" in spec:
        yield from _list_warnings(spec, where)
    if "overhead" in spec:
        yield from _fraction_warnings(spec["overhead"], f"{where}.overhead")
    yield from _all_container_warnings(spec, where)
    yield from _port_warnings(spec, where)
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{where}.terminationGracePeriodSeconds: {text}"
    if "affinity" in spec:
        yield from _affinity_warnings(spec["affinity"], f"{where}.affinity")


def _all_container_warnings(spec: JsonObject, path: str) -> Iterator[str]:
    for name in _CONTAINERS:
        for index, container in enumerate(spec.get(name, ())):
            if "env" in container or container.get("resources"):
                yield from _container_warnings(container, f"{path}.{name}[{index}]")


def _list_warnings(spec: JsonObject, path: str) -> Iterator[str]:
    yield from _duplicates(spec.get("hostAliases", ()), "ip", f"{path}.hostAliases")
    secrets = spec.get("imagePullSecrets", ())
    yield from _duplicates(secrets, "name", f"{path}.imagePullSecrets")
    for index, secret in enumerate(secrets):
        if not secret.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'


def _scheduling_warnings(spec: JsonObject, path: str) -> Iterator[str]:
    for key in spec.get("nodeSelector", ()):
        if key in _NODE_LABELS:
            yield f"{path}.nodeSelector[{key}]: {_NODE_LABELS[key]}"
    if "affinity" in spec:
        yield from _node_affinity_warnings(spec["affinity"], f"{path}.affinity.nodeAffinity")
    for index, constraint in enumerate(spec.get("topologySpreadConstraints", ())):
        target = f"{path}.topologySpreadConstraints[{index}]"
        key = constraint.get("topologyKey", "")
        if key in _NODE_LABELS:
            yield f"{target}.topologyKey: {key} is {_NODE_LABELS[key]}"
        if "labelSelector" not in constraint:
            yield f"{target}.labelSelector: {_NULL_SELECTOR}"


def _node_affinity_warnings(affinity: JsonObject, where: str) -> Iterator[str]:
    node = affinity.get("nodeAffinity", {})
    terms = [
        (term, f"{where}.{_REQUIRED}.nodeSelectorTerms[{index}]")
        for index, term in enumerate(node.get(_REQUIRED, {}).get("nodeSelectorTerms", ()))
    ]
    terms += [
        (weighted.get("preference", {}), f"{where}.{_PREFERRED}[{index}].preference")
        for index, weighted in enumerate(node.get(_PREFERRED, ()))
    ]
    for term, target in terms:
        for index, expression in enumerate(term.get("matchExpressions", ())):
            key = expression.get("key", "")
            if key in _NODE_LABELS:
                yield f"{target}.matchExpressions[{index}].key: {key} is {_NODE_LABELS[key]}"


def _volume_warnings(volumes: Sequence[JsonObject], path: str) -> Iterator[str]:
    for index, volume in enumerate(volumes):
        for kind in volume:
            if kind in _VOLUMES:
                shown, since = _VOLUMES[kind]
                yield f"{path}[{index}].{shown}: deprecated in {since}"


def _duplicates(items: Sequence[JsonObject], key: str, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = item.get(key, "")
        if value in seen:
            yield f"{path}[{index}].{key}: duplicate {key} {quote(value)}"
        seen.add(value)


def _fraction_warnings(amounts: dict[str, str], path: str) -> Iterator[str]:
    for name in ("memory", "ephemeral-storage"):
        amount = amounts.get(name)
        # Whole numbers of bytes are written without any of these.
        if amount is not None and (amount[-1] in "mun" or "." in amount) and not is_whole(amount):
            text = f"fractional byte value {quote(amount)} is invalid, must be an integer"
            yield f"{path}[{name}]: {text}"


def _profile_warnings(
    spec: JsonObject, annotations: dict[str, str], path: str, *, template: bool
) -> Iterator[str]:
    security = spec.get("securityContext", {})
    where = f"{path}metadata.annotations"
    for key, advice in _ANNOTATIONS.items():
        if key in annotations:
            yield f"{where}[{key}]: {advice}"
    if SECCOMP_POD in annotations and "seccompProfile" not in security:
        yield f"{where}[{SECCOMP_POD}]: {_SECCOMP_ADVICE}"
    for container, _ in each_container(spec, ""):
        own = container.get("securityContext", {})
        key = SECCOMP_CONTAINER + container.get("name", "")
        if key in annotations and "seccompProfile" not in own:
            yield f"{where}[{key}]: {_SECCOMP_ADVICE}"
        key = APP_ARMOR + container.get("name", "")
        stated = "appArmorProfile" in own or "appArmorProfile" in security
        if template and key in annotations and not stated:
            yield f'{where}[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'


def _container_warnings(container: JsonObject, path: str) -> Iterator[str]:
    resources = container.get("resources")
    if resources:
        for side in ("limits", "requests"):
            if side in resources:
                yield from _fraction_warnings(resources[side], f"{path}.resources.{side}")
    variables = container.get("env", ())
    if len(variables) < 2:
        return
    seen: set[str] = set()
    for index, variable in enumerate(variables):
        name = variable.get("name", "")
        reference = f"$({name})"
        value = variable.get("value", "")
        # Extending an earlier value is fine; replacing it can hardly be meant.
        replaces = "valueFrom" in variable or value == reference or reference not in value
        if name in seen and replaces:
            text = f"hides previous definition of {quote(name)}, which may be dropped"
            yield f"{path}.env[{index}]: {text} when using apply"
        seen.add(name)


def _port_warnings(spec: JsonObject, path: str) -> Iterator[str]:
    taken: dict[tuple[int, str], list[tuple[str, str, int]]] = {}
    for name in _CONTAINERS:
        for at, container in enumerate(spec.get(name, ())):
            ports = container.get("ports")
            if ports:
                yield from _clashes(ports, f"{path}.{name}[{at}].ports", taken)


def _clashes(
    ports: Sequence[JsonObject],
    path: str,
    taken: dict[tuple[int, str], list[tuple[str, str, int]]],
) -> Iterator[str]:
    """Yield what clashes with the ports `taken` so far, and take these too."""
    for index, port in enumerate(ports):
        where = f"{path}[{index}]"
        host, outer = port.get("hostIP", ""), port.get("hostPort", 0)
        key = (port.get("containerPort", 0), port.get("protocol", ""))
        for other, other_host, other_outer in taken.get(key, ()):
            if (host, outer) == (other_host, other_outer):
                yield f"{where}: duplicate port definition with {other}"
            elif not outer or not other_outer:
                yield f"{where}: overlapping port definition with {other}"
            elif outer == other_outer and bool(host) != bool(other_host):
                yield f"{where}: dangerously ambiguous port definition with {other}"
        taken.setdefault(key, []).append((where, host, outer))


def _affinity_warnings(affinity: JsonObject, path: str) -> Iterator[str]:
    for kind in ("podAffinity", "podAntiAffinity"):
        of_kind = affinity.get(kind, {})
        for index, term in enumerate(of_kind.get(_REQUIRED, ())):
            if "labelSelector" not in term:
                yield f"{path}.{kind}.{_REQUIRED}[{index}].labelSelector: {_NULL_SELECTOR}"
        for index, weighted in enumerate(of_kind.get(_PREFERRED, ())):
            if "labelSelector" not in weighted.get("podAffinityTerm", {}):
                where = f"{path}.{kind}.{_PREFERRED}[{index}].podAffinityTerm"
                yield f"{where}.labelSelector: {_NULL_SELECTOR}"
