"""Configurations of plugins: whether what an AdmissionConfiguration says of them can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from apiserver.admission.event_rates import read_limits
from apiserver.admission.image_policy import read_policy
from apiserver.admission.names import ORDER
from apiserver.admission.namespace_rules import read_selectors, read_tolerations
from apiserver.admission.pod_security.configuration import read_configuration
from apiserver.config_reader import ConfigurationUseless
from kube.access import AccessError, read_access

_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], object]]] = {
    "EventRateLimit": read_limits,
    "ImagePolicyWebhook": lambda document: read_access(read_policy(document).file),
    "PodNodeSelector": read_selectors,
    "PodSecurity": read_configuration,
    "PodTolerationRestriction": read_tolerations,
}


def check_configurations(
    wanted: Iterable[str], configurations: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuse what a plugin that runs cannot use, and names of plugins that are none.

    Raises:
        ConfigurationUseless: naming the plugin.
    """
    for name in configurations:
        if name not in ORDER:
            raise ConfigurationUseless(f"plugins: there is no plugin {name!r}")
        if name not in _READERS:
            raise ConfigurationUseless(f"plugins: {name} takes no configuration")
    for name in sorted(_READERS.keys() & set(wanted)):
        try:
            _READERS[name](configurations.get(name) or {})
        except (ConfigurationUseless, AccessError) as error:
            raise ConfigurationUseless(f"{name}: {error}") from error
