"""What one group needs: workers once there is a leader, and all anew when one of them fails.

Workers belong to their leader, a pod, so they go with it; whoever makes leaders makes the next.
Workers of a leader that is gone may still be seen for a while: these cause nothing.
"""

from __future__ import annotations

import logging
from typing import Final

from controllers.leader_workers import names
from controllers.leader_workers.group_book import Group, GroupBook, GroupKey, Member
from controllers.leader_workers.names import LEADER_WORKER_SET, annotations_of, labels_of
from controllers.leader_workers.revisions import RevisionBook, restored
from controllers.leader_workers.sets import POD, headless_service, worker_set
from controllers.leader_workers.wanted import Wanted, read_spec
from controllers.recorder import Recorder
from controllers.workloads.claims import pod_path
from controllers.workloads.pod_control import reference_of
from controllers.workloads.stateful_identity import STATEFUL_SET
from kube.client import ApiClient, Unreachable
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError

_AGAIN_S: Final = 1.0
_NO_TOPOLOGY_S: Final = 10.0
_log = logging.getLogger(__name__)


class GroupKeeper:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells of it.
        book: what there is of groups.
        revisions: the templates that sets had.
        stores: of pods and of nodes.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        book: GroupBook,
        revisions: RevisionBook,
        stores: tuple[Store, Store],
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._book = book
        self._revisions = revisions
        self._pods, self._nodes = stores

    async def keep(self, lws: JsonObject, key: GroupKey) -> float | None:
        """Do what a group needs now; return in how many seconds to look again.

        Args:
            lws: the set, which is not going.
            key: the group.

        Raises:
            StatusError, Unreachable: not all of it was done.
        """
        group = self._book.group(key)
        if group is None or group.leader is None:
            return None
        wanted = read_spec(lws["spec"])
        if wanted.is_recreated:
            failed = self._failed(lws, wanted, group)
            if failed is not None:
                await self._recreate(lws, group.leader, failed, key)
                return None
        if group.leader.is_going:
            return None
        return await self._complete(lws, wanted, group, group.leader)

    def _failed(self, lws: JsonObject, wanted: Wanted, group: Group) -> Member | None:
        """Return a pod for which the group is made anew, None for none."""
        waits = wanted.waits_for_start or names.AFTER_START in annotations_of(lws)
        members = group.members.values()
        if waits and (
            len(members) != wanted.size or any(one.phase == "Pending" for one in members)
        ):
            return None
        for member in members:
            if member.has_failed and (member is group.leader or _is_current(member, group)):
                return member
        return None

    async def _recreate(
        self, lws: JsonObject, leader: Member, failed: Member, key: GroupKey
    ) -> None:
        if leader.is_going:
            return
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            # The next leader is made when all workers of this one are gone.
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": leader.uid},
        }
        path = pod_path(f"{lws['metadata']['namespace']}/{leader.name}")
        try:
            await self._client.request("DELETE", path, options)
        except StatusError as error:
            if error.code in (404, 409):
                return  # gone, or the next of its name is there already
            raise
        self._recorder.note(
            reference_of(LEADER_WORKER_SET, lws),
            "RecreateGroup",
            f"Worker pod {failed.name} failed, deleted leader pod {leader.name} to recreate group "
            f"{key[1]}",
        )

    async def _complete(
        self, lws: JsonObject, wanted: Wanted, group: Group, leader: Member
    ) -> float | None:
        """Make what a group with a leader lacks."""
        namespace = lws["metadata"]["namespace"]
        has_all = wanted.size == 1 or group.workers is not None
        if has_all and not wanted.is_unique:
            return None
        pod = self._pods.get(f"{namespace}/{leader.name}")
        if pod is None or pod["metadata"]["uid"] != leader.uid:
            return None
        if names.LEADER_NAME in annotations_of(pod):
            self._refuse(lws, pod)
            return None
        if wanted.is_unique:
            await self._make_service(lws, pod)
        if has_all or (wanted.waits_for_leader and not leader.is_ready):
            return None
        revision = self._revisions.find(lws, leader.revision)
        if revision is None:
            return _AGAIN_S
        topology = self._topology(lws, leader)
        if topology is None:
            return _NO_TOPOLOGY_S if leader.node else None
        await self._make_workers(lws, worker_set(restored(lws, revision), pod, topology))
        return None

    def _topology(self, lws: JsonObject, leader: Member) -> dict[str, str] | None:
        """Return the labels that workers' nodes must have; None: that is not known yet."""
        key = annotations_of(lws).get(names.EXCLUSIVE)
        if not key:
            return {}
        node = self._nodes.get(leader.node) if leader.node else None
        value = labels_of(node).get(key) if node is not None else None
        if value is None:
            if leader.node:
                text = "node %s of leader %s has no label %s: its workers have to wait"
                _log.warning(text, leader.node, leader.name, key)
            return None
        return {key: value}

    def _refuse(self, lws: JsonObject, pod: JsonObject) -> None:
        """Tell of a worker that passes for a leader: its workers would have workers without end."""
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        text = (
            f"leader pod {name} contains mistake annotation '{names.LEADER_NAME}': requires "
            "Kubernetes ≥v1.27 or v1.26 with StatefulSetStartOrdinal feature"
        )
        self._recorder.warn(reference_of(LEADER_WORKER_SET, lws), "FailedCreate", text)

    async def _make_service(self, lws: JsonObject, pod: JsonObject) -> None:
        name, index = pod["metadata"]["name"], labels_of(pod)[names.GROUP_INDEX]
        selector = {names.NAME: lws["metadata"]["name"], names.GROUP_INDEX: index}
        await make_service(self._client, headless_service(lws, name, selector, POD.controls(pod)))

    async def _make_workers(self, lws: JsonObject, workers: JsonObject) -> None:
        metadata = workers["metadata"]
        path = STATEFUL_SET.path(f"{metadata['namespace']}/{metadata['name']}")
        about = reference_of(LEADER_WORKER_SET, lws)
        try:
            await self._client.request("POST", path.rpartition("/")[0], workers)
        except (StatusError, Unreachable) as error:
            if isinstance(error, StatusError) and error.reason == "AlreadyExists":
                return  # of the last leader of that name, perhaps: when it is gone, we are told
            text = f"Failed to create worker statefulset for leader pod {metadata['name']}: {error}"
            self._recorder.warn(about, "FailedCreate", text)
            raise
        text = f"Created worker statefulset for leader pod {metadata['name']}"
        self._recorder.note(about, "GroupsProgressing", text)


async def make_service(client: ApiClient, service: JsonObject) -> None:
    """Create a service; one of its name will do.

    Raises:
        StatusError, Unreachable: there is none, as far as is known.
    """
    path = f"/api/v1/namespaces/{service['metadata']['namespace']}/services"
    try:
        await client.request("POST", path, service)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise


def _is_current(member: Member, group: Group) -> bool:
    """Tell whether a worker is one of the leader's that is there now, and of its template."""
    leader, workers, owner = group.leader, group.workers, member.owner
    if leader is None or owner is None or leader.revision != member.revision:
        return False
    if owner.kind == "StatefulSet" and workers is not None and workers.uid == owner.uid:
        owner = workers.owner
    return owner is not None and owner.kind == "Pod" and owner.uid == leader.uid
