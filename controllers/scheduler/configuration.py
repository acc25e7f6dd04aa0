"""KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1): profiles, weights, arguments.

What is read: profiles with their plugins (`multiPoint`, `filter`, `score`, `postFilter`; enabled,
disabled, weights) and the arguments of NodeResourcesFit, NodeResourcesBalancedAllocation,
InterPodAffinity, PodTopologySpread and VolumeBinding; the two backoffs. All nodes are always
scored, so `percentageOfNodesToScore` is accepted and of no effect, as are `parallelism` and the
client's limits. Extenders are refused: there are none.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from controllers.scheduler.plugins import Plugin
from controllers.scheduler.queue import BACKOFF_S_MAX, BACKOFF_S_MIN
from controllers.scheduler.resources import CPU, MEMORY
from controllers.scheduler.settings import (
    BALANCED,
    BINDING,
    DEFAULT_WEIGHTS,
    FILTERS,
    FIT,
    LEAST,
    MOST,
    POD_AFFINITY,
    PREEMPTION,
    RATIO,
    SPREAD,
    Profile,
    Strategy,
)
from controllers.scheduler.shapes import DEFAULT_SCHEDULER
from kube.codec_yaml import YamlError, decode
from kube.json_types import JsonObject

API_VERSION: Final = "kubescheduler.config.k8s.io/v1"
_POINTS: Final = ("multiPoint", "filter", "score", "postFilter")
_WEIGHT_MAX: Final = 10_000
_TIMEOUT_S_MAX: Final = 2**31
_VOLUME_POINTS: Final = Profile().volume_points


class ConfigurationError(ValueError):
    """The configuration, or a plugin, cannot be used, for the reason given."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the scheduler is told."""

    profiles: dict[str, Profile] = field(default_factory=lambda: {DEFAULT_SCHEDULER: Profile()})
    plugins: tuple[Plugin, ...] = ()
    backoff_s_min: float = BACKOFF_S_MIN
    backoff_s_max: float = BACKOFF_S_MAX


def read_configuration(path: Path | None, plugins: Sequence[str] = ()) -> Configuration:
    """Return the configuration of a file, and plugins by MODULE:CLASS.

    Raises:
        ConfigurationError: it cannot be used.
    """
    loaded = tuple(_load(name) for name in plugins)
    if path is None:
        return parse_configuration({"apiVersion": API_VERSION}, loaded)
    try:
        document = decode(path.read_bytes())
    except (OSError, YamlError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    try:
        return parse_configuration(document, loaded)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def parse_configuration(document: Any, plugins: tuple[Plugin, ...] = ()) -> Configuration:
    """Return what a decoded document says.

    Raises:
        ConfigurationError: it cannot be used.
    """
    if not isinstance(document, dict) or document.get("apiVersion") != API_VERSION:
        raise ConfigurationError(f"apiVersion must be {API_VERSION}")
    if document.get("extenders"):
        raise ConfigurationError("extenders: webhooks beside the scheduler are not supported")
    try:
        profiles = [_profile(one or {}, plugins) for one in document.get("profiles") or [{}]]
        names = [profile.name for profile in profiles]
        if len(set(names)) != len(names):
            raise ConfigurationError("profiles: two have one schedulerName")
        return Configuration(
            dict(zip(names, profiles, strict=True)),
            plugins,
            float(document.get("podInitialBackoffSeconds") or BACKOFF_S_MIN),
            float(document.get("podMaxBackoffSeconds") or BACKOFF_S_MAX),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def _profile(document: JsonObject, plugins: tuple[Plugin, ...]) -> Profile:
    weights = dict(DEFAULT_WEIGHTS) | {plugin.name: 1 for plugin in plugins}
    filters = {*FILTERS, *(plugin.name for plugin in plugins)}
    is_preempting = True
    known = {*filters, *weights, PREEMPTION}
    for point, name, weight, is_enabled in _changes(document.get("plugins") or {}):
        if name != "*" and is_enabled and name not in known:
            continue  # such as QueueSort's, of which there is one
        named = known if name == "*" else {name}
        if point in ("multiPoint", "filter"):
            filters = filters | (named & known) if is_enabled else filters - named
        if point in ("multiPoint", "score"):
            for one in named:
                if not is_enabled:
                    weights.pop(one, None)
                elif one in DEFAULT_WEIGHTS or any(plugin.name == one for plugin in plugins):
                    weights[one] = weight or DEFAULT_WEIGHTS.get(one, 1)
        if point in ("multiPoint", "postFilter") and PREEMPTION in named:
            is_preempting = is_enabled
    arguments = {one["name"]: one.get("args") or {} for one in document.get("pluginConfig") or ()}
    affinity = arguments.get(POD_AFFINITY, {})
    spread = arguments.get(SPREAD, {})
    fit = arguments.get(FIT, {})
    volumes = arguments.get(BINDING, {})
    hard = affinity.get("hardPodAffinityWeight")
    return Profile(
        name=document.get("schedulerName") or DEFAULT_SCHEDULER,
        weights=weights,
        filters=frozenset(filters),
        strategy=_strategy(fit.get("scoringStrategy") or {}),
        balanced=_resources(arguments.get(BALANCED, {}).get("resources")),
        hard_weight=1 if hard is None else _within(hard, 0, 100),
        ignores_preferred=bool(affinity.get("ignorePreferredTermsOfExistingPods")),
        spread_defaults=spread.get("defaultingType") or "System",
        spread_list=tuple(spread.get("defaultConstraints") or ()),
        preempts=is_preempting,
        ignored_resources=frozenset(fit.get("ignoredResources") or ()),
        ignored_groups=frozenset(fit.get("ignoredResourceGroups") or ()),
        volume_points=_points(volumes["shape"]) if volumes.get("shape") else _VOLUME_POINTS,
        bind_timeout_s=float(_within(volumes.get("bindTimeoutSeconds", 600), 0, _TIMEOUT_S_MAX)),
    )


def _changes(plugins: JsonObject) -> Iterator[tuple[str, str, int, bool]]:
    """Yield what is disabled and enabled, by extension point; what is disabled comes first."""
    for point in _POINTS:
        entry = plugins.get(point) or {}
        for one in entry.get("disabled") or ():
            yield point, one["name"], 0, False
        for one in entry.get("enabled") or ():
            weight = one.get("weight") or 0
            yield point, one["name"], _within(weight, 0, _WEIGHT_MAX), True


def _strategy(document: JsonObject) -> Strategy:
    kind = document.get("type") or LEAST
    if kind not in (LEAST, MOST, RATIO):
        raise ConfigurationError(f"scoringStrategy: there is no type {kind!r}")
    points: tuple[tuple[int, int], ...] = ()
    if kind == RATIO:
        points = _points((document.get("requestedToCapacityRatio") or {}).get("shape") or ())
    return Strategy(kind, _resources(document.get("resources")), points)


def _points(shape: Sequence[JsonObject]) -> tuple[tuple[int, int], ...]:
    points = tuple(
        (_within(one.get("utilization") or 0, 0, 100), _within(one.get("score") or 0, 0, 10))
        for one in shape
    )
    if not points or any(b[0] <= a[0] for a, b in pairwise(points)):
        raise ConfigurationError("shape: there must be points, and their utilization must rise")
    return points


def _resources(resources: Sequence[JsonObject] | None) -> tuple[tuple[str, int], ...]:
    if not resources:
        return ((CPU, 1), (MEMORY, 1))
    return tuple((one["name"], _within(one.get("weight") or 1, 1, 100)) for one in resources)


def _within(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(f"{value!r} is not a number from {least} to {most}")
    return value


def _load(name: str) -> Plugin:
    module, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"plugin {name}: {error}") from error
    if not isinstance(made, Plugin):
        raise ConfigurationError(f"plugin {name}: it has no name, filter and score")
    return made
