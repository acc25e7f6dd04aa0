"""What a namespace's annotations, or a configuration, say of where its pods may run.

PodNodeSelector adds to a pod's nodeSelector, PodTolerationRestriction to its tolerations; both
refuse what a namespace does not allow. Off unless asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.tolerations_merged import are_covered, merged
from apiserver.config_reader import ConfigReader
from apiserver.resources import Resource
from apiserver.types.pods.qos import qos_class
from kube.json_types import JsonObject
from kube.label_syntax import key_faults, value_faults

if TYPE_CHECKING:
    from apiserver.server import Server

NODE_SELECTOR: Final = "scheduler.alpha.kubernetes.io/node-selector"
DEFAULT_TOLERATIONS: Final = "scheduler.alpha.kubernetes.io/defaultTolerations"
ALLOWED_TOLERATIONS: Final = "scheduler.alpha.kubernetes.io/tolerationsWhitelist"
_NAMESPACES: Final = "namespaces"
_CLUSTER_DEFAULT: Final = "clusterDefaultNodeSelector"
_SELECTORS: Final = "podNodeSelectorPluginConfig"
_TOLERATIONS: Final = "podtolerationrestriction.admission.k8s.io/v1alpha1"
_UNDER_PRESSURE: Final[JsonObject] = {
    "key": "node.kubernetes.io/memory-pressure",
    "operator": "Exists",
    "effect": "NoSchedule",
}
_TOLERATION_KEYS: Final = frozenset({"key", "operator", "value", "effect", "tolerationSeconds"})


def read_selectors(document: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the labels of nodes by namespace that a PodNodeSelector's configuration names.

    Raises:
        ConfigurationUseless: it is wrong.
    """
    reader = ConfigReader()
    reader.known(dict(document), "", {_SELECTORS})
    found = {}
    empty: JsonObject = {}
    for name, text in reader.get(dict(document), "", _SELECTORS, dict, empty).items():
        try:
            found[name] = parse_labels(str(text))
        except ValueError as error:
            reader.faults.append(f"{_SELECTORS}.{name}: {error}")
    reader.check()
    return found


def read_tolerations(document: Mapping[str, Any]) -> tuple[list[JsonObject], list[JsonObject]]:
    """Return a PodTolerationRestriction's default and allowed tolerations.

    Raises:
        ConfigurationUseless: the configuration is wrong.
    """
    reader = ConfigReader()
    whole = dict(document)
    reader.known(whole, "", {"apiVersion", "kind", "default", "whitelist"})
    if whole and whole.get("apiVersion") != _TOLERATIONS:
        reader.faults.append(f"apiVersion: must be {_TOLERATIONS}")
    default, allowed = (
        [item for _, item in reader.items(whole, name, set(_TOLERATION_KEYS))]
        for name in ("default", "whitelist")
    )
    reader.check()
    return default, allowed


def parse_labels(text: str) -> dict[str, str]:
    """Return the labels that a text such as `a=b,c=d` names.

    Raises:
        ValueError: it is no such text; worded as upstream.
    """
    found: dict[str, str] = {}
    for part in text.split(",") if text else ():
        pair = part.split("=")
        if len(pair) != 2:
            raise ValueError(f"invalid selector: [{part}]")
        key, value = pair[0].strip(), pair[1].strip()
        if faults := key_faults(key):
            raise ValueError(f"invalid label key {key!r}: {'; '.join(faults)}")
        if faults := value_faults(value):
            raise ValueError(f"invalid label value {value!r}: {'; '.join(faults)}")
        found[key] = value
    return found


class _OfNamespace(Plugin):
    """Looks at pods by their namespace's annotations."""

    mutates = validates = True
    allows_twins = False
    operations: ClassVar[frozenset[str]]

    def __init__(self, server: Server) -> None:
        self._server = server

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        return resource.storage == "pods" and not subresource and operation in self.operations

    def _annotations(self, attributes: Attributes) -> JsonObject:
        record = self._server.peek(
            self._server.catalog.by_storage[_NAMESPACES], "", attributes.namespace
        )
        if record is None:
            # NamespaceLifecycle has looked before, and consistently.
            raise attributes.forbidden(f"namespace {attributes.namespace} does not exist")
        found: JsonObject = orjson.loads(record.body)["metadata"].get("annotations") or {}
        return found


class PodNodeSelector(_OfNamespace):
    """Pods run on nodes that their namespace names."""

    name = "PodNodeSelector"
    operations = frozenset({CREATE})

    def __init__(self, server: Server, configuration: Mapping[str, Any]) -> None:
        super().__init__(server)
        self._known = read_selectors(configuration)

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        wanted = self._wanted(attributes)
        spec = attributes.obj["spec"]
        self._check_conflicts(attributes, wanted)
        if wanted:
            spec["nodeSelector"] = {**wanted, **(spec.get("nodeSelector") or {})}
        self._check_allowed(attributes)

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        self._check_conflicts(attributes, self._wanted(attributes))
        self._check_allowed(attributes)

    def _wanted(self, attributes: Attributes) -> dict[str, str]:
        text = self._annotations(attributes).get(NODE_SELECTOR)
        if text is None:
            return self._known.get(_CLUSTER_DEFAULT, {})
        try:
            return parse_labels(text)
        except ValueError as error:
            raise attributes.forbidden(str(error)) from error

    @staticmethod
    def _check_conflicts(attributes: Attributes, wanted: dict[str, str]) -> None:
        assert attributes.obj is not None
        own = attributes.obj["spec"].get("nodeSelector") or {}
        if any(own.get(key, value) != value for key, value in wanted.items()):
            raise attributes.forbidden(
                "pod node label selector conflicts with its namespace node label selector"
            )

    def _check_allowed(self, attributes: Attributes) -> None:
        assert attributes.obj is not None
        allowed = self._known.get(attributes.namespace)
        own = attributes.obj["spec"].get("nodeSelector") or {}
        if allowed and not own.items() <= allowed.items():
            raise attributes.forbidden(
                "pod node label selector labels conflict with its namespace whitelist"
            )


class PodTolerationRestriction(_OfNamespace):
    """Pods get their namespace's tolerations, and have none that it does not allow."""

    name = "PodTolerationRestriction"
    operations = frozenset({CREATE, UPDATE})

    def __init__(self, server: Server, configuration: Mapping[str, Any]) -> None:
        super().__init__(server)
        self._default, self._allowed = read_tolerations(configuration)

    def admit(self, attributes: Attributes) -> None:
        """See Plugin."""
        pod = attributes.obj
        assert pod is not None
        more: list[JsonObject] = []
        if attributes.operation == CREATE:
            default = self._of_namespace(attributes, DEFAULT_TOLERATIONS)
            more = list(self._default if default is None else default)
        if qos_class(pod["spec"]) != "BestEffort":
            more.append(_UNDER_PRESSURE)
        if more:
            pod["spec"]["tolerations"] = merged(pod["spec"].get("tolerations") or [], more)
        self.validate(attributes)

    def validate(self, attributes: Attributes) -> None:
        """See Plugin."""
        assert attributes.obj is not None
        own = attributes.obj["spec"].get("tolerations")
        if not own:
            return
        allowed = self._of_namespace(attributes, ALLOWED_TOLERATIONS)
        if allowed is None:
            allowed = self._allowed
        if allowed and not are_covered(own, allowed):
            raise attributes.forbidden(
                "pod tolerations (possibly merged with namespace default tolerations) conflict "
                "with its namespace whitelist"
            )

    def _of_namespace(self, attributes: Attributes, key: str) -> list[JsonObject] | None:
        """Return the tolerations of an annotation, None if there is none."""
        text = self._annotations(attributes).get(key)
        if not text:
            return None if text is None else []
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise attributes.forbidden(f"annotation {key}: {error}") from error
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise attributes.forbidden(f"annotation {key} holds no list of tolerations")
        return found
