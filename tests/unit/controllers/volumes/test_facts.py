"""What claims, volumes, pods and devices say: small rules of upstream's helpers."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.volumes import facts
from controllers.volumes.attachment_facts import needs_volumes, source_of
from controllers.volumes.device_facts import claim_name, claim_prefix, is_done
from tests.unit.controllers.volumes.test_shelf import claim, volume

BETA = {"volume.beta.kubernetes.io/storage-class": "beta"}


def test_the_annotation_names_a_class_before_the_field() -> None:
    wanted = claim(storageClassName="field")
    assert facts.class_of(wanted) == "field"
    wanted["metadata"]["annotations"] = BETA
    assert facts.class_of(wanted) == "beta"


@pytest.mark.parametrize("text", ["", "a/b", "..", "a?b", "A", "a" * 254, "-a", "a\n"])
def test_what_cannot_name_an_object_gets_into_no_path(text: str) -> None:
    assert not facts.is_name(text)
    assert facts.is_name("web-0.example")


def test_an_empty_class_is_a_wish_and_none_is_not() -> None:
    assert facts.has_class(claim(storageClassName=""))
    assert not facts.has_class(claim())


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (volume("v", "1G", storageClassName="a"), "requested PV is too small"),
        (volume("v", "2G", storageClassName="b"), "storageClassName does not match"),
        (
            volume("v", "2G", storageClassName="a", volumeMode="Block"),
            "incompatible volumeMode",
        ),
        (volume("v", "2G", "ReadOnlyMany", storageClassName="a"), "incompatible accessMode"),
        (volume("v", "2G", storageClassName="a"), ""),
    ],
)
def test_a_volume_that_is_asked_for_by_name_may_be_refused(found: dict[str, Any], why: str) -> None:
    assert facts.refusal(found, claim(size="2G", storageClassName="a")) == why


def test_an_attachment_is_called_alike_by_everybody() -> None:
    found = volume("v", csi={"driver": "d", "volumeHandle": "h"})
    source = source_of(found)
    assert source is not None
    # Of handle, driver and node.
    digest = "9072ed11cc1acb5fa433a877ff339b6311d013f33bddd1d0092711a8ace5b16d"
    assert source.attachment("n") == f"csi-{digest}"
    assert source.attachment("n") != source.attachment("m")
    assert source.unique_name == "kubernetes.io/csi/d^h"
    assert source_of(volume("v", hostPath={"path": "/"})) is None


@pytest.mark.parametrize(
    ("modes", "is_exclusive"),
    [
        (("ReadWriteOnce",), True),
        (("ReadWriteOncePod",), True),
        (("ReadWriteOnce", "ReadOnlyMany"), False),
        (("ReadWriteMany",), False),
    ],
)
def test_a_volume_of_one_writer_is_at_one_node_only(
    modes: tuple[str, ...], *, is_exclusive: bool
) -> None:
    source = source_of(volume("v", "1G", *modes, csi={"driver": "d", "volumeHandle": "h"}))
    assert source is not None
    assert source.is_exclusive is is_exclusive


def test_a_pod_needs_its_volumes_until_nothing_of_it_runs() -> None:
    pod: dict[str, Any] = {"metadata": {}, "status": {"phase": "Running"}}
    running = {"containerStatuses": [{"state": {"running": {}}}]}
    assert needs_volumes(pod, keeps_terminated=False)
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    pod["status"] = running
    assert needs_volumes(pod, keeps_terminated=False)
    pod["status"] = {"containerStatuses": [{"state": {"terminated": {}}}]}
    assert not needs_volumes(pod, keeps_terminated=False)
    assert needs_volumes(pod, keeps_terminated=True)
    assert not needs_volumes(
        {"metadata": {}, "status": {"phase": "Failed"}}, keeps_terminated=False
    )


@pytest.mark.parametrize(
    ("wanted", "status", "name"),
    [
        ({"name": "a", "resourceClaimName": "c"}, [], ("c", False)),
        ({"name": "a", "resourceClaimTemplateName": "t"}, [], (None, True)),
        (
            {"name": "a", "resourceClaimTemplateName": "t"},
            [{"name": "a", "resourceClaimName": "made"}],
            ("made", True),
        ),
        ({"name": "a", "resourceClaimTemplateName": "t"}, [{"name": "a"}], ("", True)),
        ({"name": "a"}, [], ("", False)),
    ],
)
def test_a_pods_device_claim_has_a_name_once_its_status_says_so(
    wanted: dict[str, str], status: list[dict[str, str]], name: tuple[str | None, bool]
) -> None:
    assert claim_name({"status": {"resourceClaimStatuses": status}}, wanted) == name


def test_long_names_of_device_claims_are_cut_in_both_parts() -> None:
    assert claim_prefix("p", "gpu") == "p-gpu-"
    cut = claim_prefix("p" * 100, "c" * 50)
    assert len(cut) <= 57
    assert cut.strip("pc") == "-"


def test_a_pod_is_done_when_it_can_never_run_again() -> None:
    assert is_done({"metadata": {}, "spec": {}, "status": {"phase": "Failed"}})
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert is_done({"metadata": going, "spec": {}})
    assert not is_done({"metadata": going, "spec": {"nodeName": "n"}})
