"""What servers that are gone said of storage goes: upstream's storageversiongc."""

from __future__ import annotations

import asyncio
from typing import Any

from controllers.storage_versions import (
    IDENTITY,
    LEASES,
    VERSIONS,
    StorageVersionController,
    without,
)
from tests.unit.controllers.nodes.node_objects import Feed, Server

Json = dict[str, Any]
NOW = "2026-01-02T03:04:05Z"


def version(*entries: tuple[str, str], **status: Any) -> Json:
    """Return a StorageVersion; entries are servers and what they encode in."""
    told = [{"apiServerID": server, "encodingVersion": how} for server, how in entries]
    return {
        "metadata": {"name": "apps.deployments", "resourceVersion": "1"},
        "status": {"storageVersions": told, **status},
    }


def lease(name: str, **labels: str) -> Json:
    """Return the Lease of a server."""
    return {
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "resourceVersion": "1",
            "labels": {IDENTITY: "kube-apiserver", **labels},
        }
    }


class World:
    """A controller, and what there is of Leases and StorageVersions."""

    def __init__(self, found: Json, *leases: Json) -> None:
        self.server: Any = Server()
        feeds: Any = Feed(), Feed()
        for one in leases:
            self.server.objects[f"{LEASES}/{one['metadata']['name']}"] = one
        self.server.objects[f"{VERSIONS}/apps.deployments"] = found
        self.subject = StorageVersionController(self.server, *feeds)
        feeds[0].put(*leases)
        feeds[1].put(found)

    def sync(self) -> Any:
        """Have the object looked at; return it as it is then."""
        asyncio.run(self.subject.sync("apps.deployments"))
        return self.server.objects.get(f"{VERSIONS}/apps.deployments")


def test_entries_of_servers_that_are_there_stay() -> None:
    world = World(version(("a", "v1"), ("b", "v1")), lease("a"), lease("b"))
    world.sync()
    assert not world.server.asked


def test_entries_of_servers_that_are_gone_go_and_who_is_left_agrees() -> None:
    world = World(version(("a", "v1"), ("b", "v2")), lease("a"))
    status = world.sync()["status"]
    assert [one["apiServerID"] for one in status["storageVersions"]] == ["a"]
    assert status["commonEncodingVersion"] == "v1"
    (said,) = status["conditions"]
    assert (said["type"], said["status"], said["reason"]) == (
        "AllEncodingVersionsEqual",
        "True",
        "CommonEncodingVersionSet",
    )


def test_with_the_last_entry_the_object_goes() -> None:
    assert World(version(("a", "v1"))).sync() is None


def test_a_lease_of_something_else_is_no_servers() -> None:
    strange = lease("a", **{IDENTITY: "other"})
    world = World(version(("a", "v1")), strange)
    world.subject._leases.drop("kube-system/a")  # its selector leaves that out
    assert world.sync() is None


def test_servers_that_do_not_agree_have_no_version_in_common() -> None:
    found = version(("a", "v1"), ("b", "v2"), ("c", "v1"), commonEncodingVersion="v1")
    left = without(found, {"c"}, NOW)
    assert left is not None
    assert "commonEncodingVersion" not in left["status"]
    (said,) = left["status"]["conditions"]
    assert (said["status"], said["message"]) == ("False", "Common encoding version unset")
