"""The samples are valid by the published schemas, and cover the kinds people use most."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

SAMPLES: Final = sorted((Path(__file__).parents[2] / "samples").glob("*.yaml"))
VERSION: Final = "1.37"
COMMON: Final = frozenset(
    {
        "ConfigMap",
        "CronJob",
        "DaemonSet",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "Lease",
        "Namespace",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "Pod",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Secret",
        "Service",
        "ServiceAccount",
        "StatefulSet",
    }
)


def _objects(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_sample_is_valid_by_the_strict_schema(path: Path) -> None:
    for manifest in _objects(path):
        kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_samples_cover_the_common_kinds() -> None:
    kinds = {manifest["kind"] for path in SAMPLES for manifest in _objects(path)}
    assert kinds >= COMMON


def test_samples_can_be_applied_in_the_order_of_their_files() -> None:
    first = _objects(SAMPLES[0])[0]
    assert (first["kind"], first["metadata"]["name"]) == ("Namespace", "shop")
