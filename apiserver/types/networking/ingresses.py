"""Ingress and IngressClass: hosts, paths and where they lead."""

from __future__ import annotations

from typing import Final

from apiserver.types.addresses import is_valid_ip_legacy, parse_ip_sloppy
from apiserver.types.formats import (
    byte_length,
    is_dns1123_label,
    is_dns1123_subdomain,
    is_path_segment_name,
    is_valid_port_name,
    is_valid_port_num,
    is_wildcard_dns1123_subdomain,
)
from apiserver.types.hooks import TypeHooks
from apiserver.types.meta import check_string, domain_prefixed_path_errors, validate_immutable
from kube.field import FieldError, forbidden, invalid, not_supported, required, too_long
from kube.json_types import JsonObject

PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
SCOPES: Final = ("Cluster", "Namespace")
CONTROLLER_BYTES_MAX: Final = 250
_CLASS_KEY: Final = "kubernetes.io/ingress.class"
_BAD_SEQUENCES: Final = ("//", "/./", "/../", "%2f", "%2F")
_BAD_ENDS: Final = ("/..", "/.")
_NOT_AN_IP: Final = "must be a DNS name, not an IP address"
_ABSOLUTE: Final = "must be an absolute path"


def _reference_errors(reference: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if (group := reference.get("apiGroup")) is not None:
        errors += check_string(group, f"{path}.apiGroup", is_dns1123_subdomain)
    for key in ("kind", "name"):
        if value := reference.get(key):
            errors += check_string(value, f"{path}.{key}", is_path_segment_name)
        else:
            errors.append(required(f"{path}.{key}"))
    return errors


def _service_errors(service: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if name := service.get("name"):
        errors += check_string(name, f"{path}.service.name", is_dns1123_label)
    else:
        errors.append(required(f"{path}.service.name"))
    port = service.get("port", {})
    port_name, number = port.get("name", ""), port.get("number", 0)
    where = f"{path}.service.port"
    if port_name and number:
        errors.append(invalid(path, "", "cannot set both port name & port number"))
    elif port_name:
        errors += check_string(port_name, f"{where}.name", is_valid_port_name)
    elif number:
        errors.extend(invalid(f"{where}.number", number, m) for m in is_valid_port_num(number))
    else:
        errors.append(required(path, "port name or number is required"))
    return errors


def _backend_errors(backend: JsonObject, path: str) -> list[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference_errors(resource, f"{path}.resource")
    if service is not None:
        return _service_errors(service, path)
    return [invalid(path, "", "resource or service backend is required")]


def _path_errors(rule: JsonObject, path: str) -> list[FieldError]:
    kind, text, where = rule.get("pathType"), rule.get("path", ""), f"{path}.path"
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    errors: list[FieldError] = []
    if kind in {"Exact", "Prefix"}:
        if not text.startswith("/"):
            errors.append(invalid(where, text, _ABSOLUTE))
        errors.extend(
            invalid(where, text, f"must not contain '{bad}'")
            for bad in _BAD_SEQUENCES
            if bad in text
        )
        errors.extend(
            invalid(where, text, f"cannot end with '{bad}'")
            for bad in _BAD_ENDS
            if text.endswith(bad)
        )
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            errors.append(invalid(where, text, _ABSOLUTE))
    else:
        errors.append(not_supported(f"{path}.pathType", kind, PATH_TYPES))
    return errors + _backend_errors(rule.get("backend", {}), f"{path}.backend")


def _host_errors(host: str, path: str) -> list[FieldError]:
    check = is_wildcard_dns1123_subdomain if "*" in host else is_dns1123_subdomain
    return check_string(host, path, check)


def _rule_errors(rule: JsonObject, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    if host := rule.get("host"):
        if parse_ip_sloppy(host) is not None:
            errors.append(invalid(f"{path}.host", host, _NOT_AN_IP))
        errors += _host_errors(host, f"{path}.host")
    if (http := rule.get("http")) is not None:
        paths = http.get("paths") or []
        if not paths:
            errors.append(required(f"{path}.http.paths"))
        for index, item in enumerate(paths):
            errors += _path_errors(item, f"{path}.http.paths[{index}]")
    return errors


def validate(obj: JsonObject) -> list[FieldError]:
    """Check an Ingress, new or not."""
    spec = obj.get("spec", {})
    errors: list[FieldError] = []
    backend, rules = spec.get("defaultBackend"), spec.get("rules") or []
    if not rules and backend is None:
        text = "either `defaultBackend` or `rules` must be specified"
        errors.append(invalid("spec", None, text))
    if backend is not None:
        errors += _backend_errors(backend, "spec.defaultBackend")
    for index, rule in enumerate(rules):
        errors += _rule_errors(rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        for at, host in enumerate(tls.get("hosts") or ()):
            errors += _host_errors(host, f"spec.tls[{index}].hosts[{at}]")
        if secret := tls.get("secretName"):
            errors += check_string(secret, f"spec.tls[{index}].secretName", is_dns1123_subdomain)
    if (name := spec.get("ingressClassName")) is not None:
        errors += check_string(name, "spec.ingressClassName", is_dns1123_subdomain)
    return errors


def validate_create(obj: JsonObject) -> list[FieldError]:
    """Check a new Ingress: the annotation that named its class once must agree."""
    errors = validate(obj)
    annotations = obj.get("metadata", {}).get("annotations") or {}
    name = obj.get("spec", {}).get("ingressClassName")
    if name is not None and annotations.get(_CLASS_KEY, name) != name:
        text = "must match `ingressClassName` when both are specified"
        errors.append(invalid(f"annotations.{_CLASS_KEY}", annotations[_CLASS_KEY], text))
    return errors


def warnings(new: JsonObject, _old: JsonObject | None) -> list[str]:
    """Warn of the annotation that spec.ingressClassName replaced."""
    annotations = new.get("metadata", {}).get("annotations") or {}
    if _CLASS_KEY not in annotations:
        return []
    return [
        f"annotation \"{_CLASS_KEY}\" is deprecated, please use 'spec.ingressClassName' instead"
    ]


def validate_status(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check where a load balancer says the Ingress can be reached."""
    known = {
        point.get("ip")
        for point in old.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    }
    errors: list[FieldError] = []
    points = new.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    for index, point in enumerate(points):
        path = f"status.loadBalancer.ingress[{index}]"
        ip = point.get("ip")
        if ip and ip not in known:
            errors += check_string(ip, f"{path}.ip", is_valid_ip_legacy)
        if hostname := point.get("hostname"):
            errors += check_string(hostname, f"{path}.hostname", is_dns1123_subdomain)
            if parse_ip_sloppy(hostname) is not None:
                errors.append(invalid(f"{path}.hostname", hostname, _NOT_AN_IP))
    return errors


def prepare_create(obj: JsonObject) -> None:
    """Start without a status."""
    obj["status"] = {"loadBalancer": {}}


def default_class(obj: JsonObject) -> None:
    """Default the scope of an IngressClass's parameters."""
    parameters = obj.get("spec", {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def _parameter_errors(parameters: JsonObject) -> list[FieldError]:
    path = "spec.parameters"
    errors = _reference_errors(parameters, path)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope is None:
        return [*errors, required(f"{path}.scope")]
    if scope not in SCOPES:
        errors.append(not_supported(f"{path}.scope", scope, SCOPES))
    elif scope == "Namespace":
        if namespace is None:
            text = "`parameters.scope` is set to 'Namespace'"
            errors.append(required(f"{path}.namespace", text))
        else:
            errors += check_string(namespace, f"{path}.namespace", is_dns1123_label)
    elif namespace is not None:
        errors.append(forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'"))
    return errors


def validate_class(obj: JsonObject) -> list[FieldError]:
    """Check an IngressClass."""
    spec = obj.get("spec", {})
    controller = spec.get("controller", "")
    path = "spec.controller"
    errors: list[FieldError] = []
    if byte_length(controller) > CONTROLLER_BYTES_MAX:
        errors.append(too_long(path, CONTROLLER_BYTES_MAX))
    errors += domain_prefixed_path_errors(controller, path)
    if (parameters := spec.get("parameters")) is not None:
        errors += _parameter_errors(parameters)
    return errors


def validate_class_update(new: JsonObject, old: JsonObject) -> list[FieldError]:
    """Check an IngressClass that is to replace `old`."""
    after = new.get("spec", {}).get("controller", "")
    before = old.get("spec", {}).get("controller", "")
    return validate_immutable(after, before, "spec.controller") + validate_class(new)


HOOKS: Final = {
    "networking.k8s.io/ingresses": TypeHooks(
        prepare_create=prepare_create,
        validate_create=validate_create,
        validate_update=lambda new, _old: validate(new),
        validate_status=validate_status,
        warnings=warnings,
        generation=True,
        has_status=True,
    ),
    "networking.k8s.io/ingressclasses": TypeHooks(
        default=default_class,
        validate_create=validate_class,
        validate_update=validate_class_update,
        generation=True,
    ),
}
