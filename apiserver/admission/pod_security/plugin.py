"""The plugin: refuses pods, warns of templates, and of pods when a namespace gets stricter."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

import orjson

from apiserver.admission.attributes import CREATE, UPDATE, Attributes
from apiserver.admission.chain import Plugin
from apiserver.admission.pod_security.configuration import Configuration
from apiserver.admission.pod_security.evaluator import details, evaluate, reasons
from apiserver.admission.pod_security.levels import (
    PREFIX,
    PRIVILEGED,
    LevelVersion,
    Policy,
    policy_of,
    strictness,
)
from apiserver.admission.pod_security.parts import Fault
from apiserver.resources import Resource
from kube import status as st
from kube.field import FieldError, quote
from kube.json_types import JsonObject
from storage.scan import Query

if TYPE_CHECKING:
    from apiserver.server import Server

ENFORCED: Final = f"{PREFIX}enforce-policy"
_WOULD: Final = "would violate PodSecurity "
_PODS_MAX: Final = 3000
_SECONDS_MAX: Final = 1.0
_SUBRESOURCES: Final = frozenset({"", "ephemeralcontainers", "resize"})
_TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "podtemplates": ("template",),
    "replicationcontrollers": ("spec", "template"),
    "apps/replicasets": ("spec", "template"),
    "apps/deployments": ("spec", "template"),
    "apps/statefulsets": ("spec", "template"),
    "apps/daemonsets": ("spec", "template"),
    "batch/jobs": ("spec", "template"),
    "batch/cronjobs": ("spec", "jobTemplate", "spec", "template"),
}


class PodSecurity(Plugin):
    """See the module's head."""

    name = "PodSecurity"
    validates = True

    def __init__(self, server: Server, configuration: Configuration) -> None:
        self._server = server
        self._configuration = configuration

    def handles(self, resource: Resource, subresource: str, operation: str) -> bool:
        """See Plugin."""
        if operation not in {CREATE, UPDATE}:
            return False
        if resource.storage == "pods":
            return subresource in _SUBRESOURCES
        return not subresource and (
            resource.storage == "namespaces" or resource.storage in _TEMPLATES
        )

    def policy_in(self, namespace: str) -> tuple[Policy, list[FieldError]]:
        """Return what counts in a namespace."""
        record = self._server.store.get("namespaces", "", namespace)
        found = {} if record is None else orjson.loads(record.body)["metadata"]
        return policy_of(found.get("labels") or {}, self._configuration.defaults)

    def exempts(self, user: str, namespace: str) -> str:
        """Return why nothing is looked at: "namespace", "user" or "" for no reason."""
        if namespace in self._configuration.namespaces:
            return "namespace"
        return "user" if user in self._configuration.users else ""

    def validate(self, attributes: Attributes) -> Awaitable[None] | None:
        """See Plugin."""
        storage = attributes.resource.storage
        if storage == "namespaces":
            return self._check_namespace(attributes)
        exempt = self.exempts(attributes.user.name, attributes.namespace)
        if exempt:
            attributes.annotate(f"{PREFIX}exempt", exempt)
            return None
        policy, faults = self.policy_in(attributes.namespace)
        new = attributes.obj
        assert new is not None
        if storage != "pods":
            self._check_template(attributes, policy, faults)
        elif policy.is_privileged and not faults:
            attributes.annotate(ENFORCED, str(LevelVersion()))
        elif attributes.old is None or _matters(new["spec"], attributes.old["spec"]):
            self._evaluate(
                attributes, policy, faults, (new["metadata"], new["spec"]), enforces=True
            )
        return None

    def _check_template(
        self, attributes: Attributes, policy: Policy, faults: list[FieldError]
    ) -> None:
        if not faults and policy.warn.level == policy.audit.level == PRIVILEGED:
            return
        template = attributes.obj
        for key in _TEMPLATES[attributes.resource.storage]:
            template = (template or {}).get(key)
        if template is None:
            return
        parts = template.get("metadata") or {}, template.get("spec") or {}
        self._evaluate(attributes, policy, faults, parts, enforces=False)

    def _evaluate(
        self,
        attributes: Attributes,
        policy: Policy,
        label_faults: list[FieldError],
        pod: tuple[JsonObject, JsonObject],
        *,
        enforces: bool,
    ) -> None:
        if pod[1].get("runtimeClassName") in self._configuration.runtime_classes:
            attributes.annotate(f"{PREFIX}exempt", "runtimeClass")
            return
        if label_faults:
            texts = [str(one) for one in label_faults]
            shown = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
            attributes.annotate(f"{PREFIX}error", f"Failed to parse policy: {shown}")
        refused = evaluate(policy.enforce, *pod) if enforces else []
        if enforces:
            attributes.annotate(ENFORCED, str(policy.enforce))
        noted = evaluate(policy.audit, *pod)
        if noted:
            attributes.annotate(f"{PREFIX}audit-violations", _would(policy.audit, noted))
        if refused:
            wanted = quote(str(policy.enforce))
            raise attributes.forbidden(f"violates PodSecurity {wanted}: {details(refused)}")
        warned = evaluate(policy.warn, *pod)
        if warned:
            attributes.warn(_would(policy.warn, warned))

    def _check_namespace(self, attributes: Attributes) -> Awaitable[None] | None:
        new, old = attributes.obj, attributes.old
        assert new is not None
        name = new["metadata"]["name"]
        labels = new["metadata"].get("labels") or {}
        after, faults = policy_of(labels, self._configuration.defaults)
        if old is None:
            if faults:
                raise st.invalid("", "Namespace", name, faults)
            self._warn_exempt(attributes, after, labels)
            return None
        known = old["metadata"].get("labels") or {}
        before, old_faults = policy_of(known, self._configuration.defaults)
        if faults and faults != old_faults:
            raise st.invalid("", "Namespace", name, faults)
        if after.enforce == before.enforce or after.enforce.level == PRIVILEGED:
            return None
        if after.enforce.minor == before.enforce.minor and strictness(
            after.enforce.level
        ) <= strictness(before.enforce.level):
            return None
        if name in self._configuration.namespaces:
            self._warn_exempt(attributes, after, labels)
            return None
        return self._warn_of_pods(attributes, name, after.enforce)

    def _warn_exempt(self, attributes: Attributes, policy: Policy, labels: dict[str, str]) -> None:
        name = attributes.namespace
        if name not in self._configuration.namespaces:
            return
        defaults = self._configuration.defaults
        if policy.is_privileged or all(map(LevelVersion.is_like, policy, defaults)):
            return
        shown = [
            f"{mode}={wanted}"
            for mode, wanted in zip(Policy._fields, policy, strict=True)
            if wanted.level != PRIVILEGED
            and (PREFIX + mode in labels or f"{PREFIX}{mode}-version" in labels)
        ]
        if shown:
            attributes.warn(
                f"namespace {quote(name)} is exempt from Pod Security, and the policy "
                f"({', '.join(shown)}) will be ignored"
            )

    async def _warn_of_pods(
        self, attributes: Attributes, namespace: str, wanted: LevelVersion
    ) -> None:
        """Look at the pods that are there, as many as a second allows: one of each owner first."""
        server = self._server
        pods = [pod for pod in await self._pods_in(namespace) if not self._is_exempt(pod)]
        first: list[JsonObject] = []
        more: list[JsonObject] = []
        owners: set[str] = set()
        for pod in pods:
            owner = _controller(pod)
            (more if owner in owners else first).append(pod)
            if owner:
                owners.add(owner)
        found: dict[str, list[str]] = {}
        end_s = server.clock.monotonic_s() + _SECONDS_MAX
        checked = 0
        for pod in (first + more)[:_PODS_MAX]:
            checked += 1
            faults = evaluate(wanted, pod["metadata"], pod["spec"])
            if faults:
                found.setdefault(reasons(faults), []).append(pod["metadata"]["name"])
            if server.clock.monotonic_s() > end_s:
                break
            if checked % 100 == 0:
                await server.list_steps.next()
        if checked < len(pods):
            attributes.warn(
                "new PodSecurity enforce level only checked against the first "
                f"{checked} of {len(pods)} existing pods"
            )
        if found:
            attributes.warn(
                f"existing pods in namespace {quote(namespace)} violate the new PodSecurity "
                f"enforce level {quote(str(wanted))}"
            )
        for text in sorted(_decorated(why, names) for why, names in found.items()):
            attributes.warn(text)

    def _is_exempt(self, pod: JsonObject) -> bool:
        return pod["spec"].get("runtimeClassName") in self._configuration.runtime_classes

    async def _pods_in(self, namespace: str) -> list[JsonObject]:
        """Return as many pods as are ever looked at, and one more."""
        server = self._server
        pods: list[JsonObject] = []
        with server.store.scan(Query("pods", namespace)) as scan:
            for chunk in scan:
                pods += (orjson.loads(record.body) for record in chunk)
                if len(pods) > 2 * _PODS_MAX:
                    break
                await server.list_steps.next()
        return pods


def _would(wanted: LevelVersion, faults: list[Fault]) -> str:
    return f"{_WOULD}{quote(str(wanted))}: {details(faults)}"


def is_warning(text: str) -> bool:
    """Tell whether a warning is one of these of a pod."""
    return text.startswith(_WOULD)


def _controller(pod: JsonObject) -> str:
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((one["uid"] for one in owners if one.get("controller")), "")


def _decorated(why: str, names: list[str]) -> str:
    name, others = min(names), len(names) - 1
    if not others:
        return f"{name}: {why}"
    return f"{name} (and {others} other {'pod' if others == 1 else 'pods'}): {why}"


def _matters(new: JsonObject, old: JsonObject) -> bool:
    """Tell whether an update of a pod changes what is checked: images, or which containers."""
    for key in ("containers", "initContainers"):
        after, before = new.get(key) or (), old.get(key) or ()
        if len(after) != len(before):
            return True
        pairs = zip(after, before, strict=True)
        if any(one.get("image") != other.get("image") for one, other in pairs):
            return True
    known = {one["name"]: one.get("image") for one in old.get("ephemeralContainers") or ()}
    return any(
        one["name"] not in known or known[one["name"]] != one.get("image")
        for one in new.get("ephemeralContainers") or ()
    )
