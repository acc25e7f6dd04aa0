"""The control plane's own types: leases, classes, admission, flow control, API services."""

from __future__ import annotations

from typing import Any, Final

from kube.json_types import JsonObject
from kube.table import text
from kube.table.layout import AGE, API, NAME, Column, Layout, shows, worded
from kube.table.text import NONE, UNSET, age_of, name_of


def _lease(obj: JsonObject, now_s: float) -> list[Any]:
    return [name_of(obj), obj.get("spec", {}).get("holderIdentity", ""), age_of(obj, now_s)]


def _lease_candidate(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    shown = (spec.get(key, "") for key in ("leaseName", "binaryVersion", "emulationVersion"))
    return [name_of(obj), *shown, age_of(obj, now_s)]


def _priority_class(obj: JsonObject, now_s: float) -> list[Any]:
    is_default, preemption = obj.get("globalDefault", False), obj.get("preemptionPolicy", "")
    return [name_of(obj), obj.get("value", 0), is_default, age_of(obj, now_s), preemption]


def _runtime_class(obj: JsonObject, now_s: float) -> list[Any]:
    return [name_of(obj), obj.get("handler", ""), age_of(obj, now_s)]


def _webhooks(obj: JsonObject, now_s: float) -> list[Any]:
    return [name_of(obj), len(obj.get("webhooks", ())), age_of(obj, now_s)]


def _validating_policy(obj: JsonObject, now_s: float) -> list[Any]:
    return _policy(obj, "validations", now_s)


def _mutating_policy(obj: JsonObject, now_s: float) -> list[Any]:
    return _policy(obj, "mutations", now_s)


def _policy(obj: JsonObject, rules: str, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    kind = spec.get("paramKind")
    shown = UNSET
    if kind is not None:
        shown = f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}"
    return [name_of(obj), len(spec.get(rules, ())), shown, age_of(obj, now_s)]


def _policy_binding(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    parameter, shown = spec.get("paramRef", {}), UNSET
    if name := parameter.get("name"):
        shown = f"{parameter.get('namespace') or '*'}/{name}"
    elif (chosen := parameter.get("selector")) is not None:
        shown = text.selector_structure(chosen)
    return [name_of(obj), spec.get("policyName", ""), shown, age_of(obj, now_s)]


def _flow_schema(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    method = spec.get("distinguisherMethod")
    dangling = text.condition_status(obj.get("status", {}).get("conditions", ()), "Dangling")
    return [
        name_of(obj),
        spec.get("priorityLevelConfiguration", {}).get("name", ""),
        spec.get("matchingPrecedence", 0),
        NONE if method is None else method.get("type", ""),
        age_of(obj, now_s),
        "?" if dangling is None else dangling,
    ]


def _flow_schema_order(obj: JsonObject) -> tuple[int, str]:
    """Order flow schemas as they are matched."""
    return obj.get("spec", {}).get("matchingPrecedence", 0), name_of(obj)


def _priority_level(obj: JsonObject, now_s: float) -> list[Any]:
    spec = obj.get("spec", {})
    limited = spec.get("limited")
    queuing = text.dig(spec, "limited", "limitResponse", "queuing")
    keys = ("queues", "handSize", "queueLengthLimit")
    return [
        name_of(obj),
        spec.get("type", ""),
        NONE if limited is None else limited.get("nominalConcurrencyShares", 0),
        *(NONE if queuing is None else queuing.get(key, 0) for key in keys),
        age_of(obj, now_s),
    ]


def _api_service(obj: JsonObject, now_s: float) -> list[Any]:
    service = obj.get("spec", {}).get("service")
    target = "Local"
    if service is not None:
        target = f"{service.get('namespace', '')}/{service.get('name', '')}"
    available = "Unknown"
    for condition in obj.get("status", {}).get("conditions", ()):
        if condition.get("type") == "Available":
            available, reason = condition.get("status", ""), condition.get("reason")
            if available != "True" and reason:
                available = f"{available} ({reason})"
            break
    return [name_of(obj), target, available, age_of(obj, now_s)]


def _storage_version(obj: JsonObject, now_s: float) -> list[Any]:
    status = obj.get("status", {})
    servers = [
        f"{item.get('apiServerID', '')}={item.get('encodingVersion', '')}"
        for item in status.get("storageVersions", ())
    ]
    common = status.get("commonEncodingVersion", UNSET)
    return [name_of(obj), common, text.shortened(servers), age_of(obj, now_s)]


def _migration(obj: JsonObject, _now_s: float) -> list[Any]:
    resource = obj.get("spec", {}).get("resource", {})
    return [name_of(obj), f"{resource.get('resource', '')}.{resource.get('group', '')}"]


def _webhook_layout() -> Layout:
    return Layout(
        (NAME, worded("Webhooks", "How many webhooks it has.", "integer"), AGE), _webhooks
    )


_PARAM_KIND: Final = worded("ParamKind", "The kind of the policy's parameters.")
_BINDING: Final = Layout(
    columns=(
        NAME,
        worded("PolicyName", "The policy that is bound."),
        worded("ParamRef", "Where the policy's parameters come from."),
        AGE,
    ),
    cells=_policy_binding,
)
_FLOW: Final = "flowcontrol.v1."
_CANDIDATE: Final = "coordination.v1beta1.LeaseCandidateSpec."

LAYOUTS: Final = {
    "coordination.k8s.io/leases": Layout(
        (NAME, shows("Holder", "coordination.v1.LeaseSpec.holderIdentity"), AGE), _lease
    ),
    "coordination.k8s.io/leasecandidates": Layout(
        columns=(
            NAME,
            shows("LeaseName", f"{_CANDIDATE}leaseName"),
            shows("BinaryVersion", f"{_CANDIDATE}binaryVersion"),
            shows("EmulationVersion", f"{_CANDIDATE}emulationVersion"),
            AGE,
        ),
        cells=_lease_candidate,
    ),
    "scheduling.k8s.io/priorityclasses": Layout(
        columns=(
            NAME,
            shows("Value", "scheduling.v1.PriorityClass.value", "integer"),
            shows("Global-Default", "scheduling.v1.PriorityClass.globalDefault", "boolean"),
            AGE,
            shows("PreemptionPolicy", "scheduling.v1.PriorityClass.preemptionPolicy"),
        ),
        cells=_priority_class,
    ),
    "node.k8s.io/runtimeclasses": Layout(
        (NAME, shows("Handler", "node.v1.RuntimeClass.handler"), AGE), _runtime_class
    ),
    "admissionregistration.k8s.io/mutatingwebhookconfigurations": _webhook_layout(),
    "admissionregistration.k8s.io/validatingwebhookconfigurations": _webhook_layout(),
    "admissionregistration.k8s.io/validatingadmissionpolicies": Layout(
        (NAME, worded("Validations", "How many rules validate.", "integer"), _PARAM_KIND, AGE),
        _validating_policy,
    ),
    "admissionregistration.k8s.io/mutatingadmissionpolicies": Layout(
        (NAME, worded("Mutations", "How many rules mutate.", "integer"), _PARAM_KIND, AGE),
        _mutating_policy,
    ),
    "admissionregistration.k8s.io/validatingadmissionpolicybindings": _BINDING,
    "admissionregistration.k8s.io/mutatingadmissionpolicybindings": _BINDING,
    "flowcontrol.apiserver.k8s.io/flowschemas": Layout(
        columns=(
            NAME,
            shows("PriorityLevel", f"{_FLOW}PriorityLevelConfigurationReference.name"),
            shows("MatchingPrecedence", f"{_FLOW}FlowSchemaSpec.matchingPrecedence"),
            shows("DistinguisherMethod", f"{_FLOW}FlowSchemaSpec.distinguisherMethod"),
            AGE,
            worded("MissingPL", "Whether the priority level it refers to is missing or broken."),
        ),
        cells=_flow_schema,
        order=_flow_schema_order,
    ),
    "flowcontrol.apiserver.k8s.io/prioritylevelconfigurations": Layout(
        columns=(
            NAME,
            shows("Type", f"{_FLOW}PriorityLevelConfigurationSpec.type"),
            shows(
                "NominalConcurrencyShares",
                f"{_FLOW}LimitedPriorityLevelConfiguration.nominalConcurrencyShares",
            ),
            shows("Queues", f"{_FLOW}QueuingConfiguration.queues"),
            shows("HandSize", f"{_FLOW}QueuingConfiguration.handSize"),
            shows("QueueLengthLimit", f"{_FLOW}QueuingConfiguration.queueLengthLimit"),
            AGE,
        ),
        cells=_priority_level,
    ),
    "apiregistration.k8s.io/apiservices": Layout(
        columns=(
            NAME,
            worded("Service", "The service behind this API, Local for our own."),
            worded("Available", "Whether the service answers."),
            AGE,
        ),
        cells=_api_service,
    ),
    "internal.apiserver.k8s.io/storageversions": Layout(
        columns=(
            NAME,
            Column(
                "CommonEncodingVersion",
                field=f"{API}apiserverinternal.v1alpha1.StorageVersionStatus.commonEncodingVersion",
            ),
            shows(
                "StorageVersions",
                "apiserverinternal.v1alpha1.StorageVersionStatus.storageVersions",
            ),
            AGE,
        ),
        cells=_storage_version,
    ),
    "storagemigration.k8s.io/storageversionmigrations": Layout(
        (Column("Name", field=NAME.field), worded("Resource", "The resource to migrate.")),
        _migration,
    ),
}
