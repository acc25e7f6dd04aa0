"""Device claims of pods (pkg/controller/resourceclaim): made of templates, reserved, given back.

    pod names a template -----> a claim that the pod owns; its name goes into the pod's status
    pod came to a node by itself --> what it uses is reserved for it, if it is allocated
    pod is done or gone ------> its reservation goes; with the last one the allocation, too
    pod that owns it is done -> the claim goes

A reservation is dropped when the pod is known to be gone: it was seen going, or the server says so.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from controllers.nodes.lost_pods import POD
from controllers.recorder import Recorder
from controllers.volumes.device_facts import (
    CLAIM,
    FINALIZER,
    OF_POD_CLAIM,
    NotForPod,
    check_owner,
    claim_name,
    claim_prefix,
    is_done,
    is_reserved_for,
    owning_pod,
)
from controllers.volumes.facts import is_name
from controllers.workloads.claims import pod_path
from controllers.workloads.pod_control import reference_of
from controllers.workqueue import WorkQueue, run_worker
from kube.client import ApiClient, Patch
from kube.informers.changes import Change
from kube.informers.informer import Delta, Informer
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.tasks import TaskScope

_APPLY: Final = "application/apply-patch+yaml"
_MANAGER: Final = "ResourceClaimController"
_WORKERS: Final = 10
_GONE_MAX: Final = 10_000
_RESERVED_MAX: Final = 256
_log = logging.getLogger(__name__)
POD_CLAIMS_INDEX: Final = "device-claims"
OWNER_POD_INDEX: Final = "owner-pod"


def pod_claims(pod: JsonObject) -> tuple[str, ...]:
    """Return the device claims that a pod uses, as far as they have names (POD_CLAIMS_INDEX)."""
    claims = pod["spec"].get("resourceClaims")
    if not claims:
        return ()
    namespace = pod["metadata"]["namespace"]
    names = (claim_name(pod, one)[0] for one in claims)
    return tuple(f"{namespace}/{name}" for name in names if name)


def owner_pod(claim: JsonObject) -> str | tuple[str, ...]:
    """Return the uid of the pod that owns a claim (OWNER_POD_INDEX)."""
    return owning_pod(claim)[1] or ()


class DeviceClaims:
    """See the module's head.

    Args of the constructor:
        client: who writes.
        recorder: who tells.
        pods: indexed by POD_CLAIMS_INDEX.
        claims: indexed by OWNER_POD_INDEX.
        templates: all.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        pods: Informer,
        claims: Informer,
        templates: Informer,
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._pods = pods.store
        self._claims = claims.store
        self._templates = templates.store
        self._pod_queue: WorkQueue[str] = WorkQueue()
        self._claim_queue: WorkQueue[str] = WorkQueue()
        self._gone: OrderedDict[str, None] = OrderedDict()
        self._waiting: dict[str, set[str]] = {}
        pods.on_changes(self._observe_pods)
        templates.on_changes(self._observe_templates)
        claims.on_changes(self._observe_claims)

    def start(self, scope: TaskScope) -> None:
        """Start the workers, once all informers are synced."""
        for number in range(_WORKERS):
            scope.spawn(run_worker(self._pod_queue, self.sync_pod), name=f"device claims {number}")
            worker = run_worker(self._claim_queue, self.sync_claim)
            scope.spawn(worker, name=f"device reservations {number}")

    def _observe_pods(self, deltas: Sequence[Delta]) -> None:
        for change, key, pod, _ in deltas:
            if not pod["spec"].get("resourceClaims"):
                continue
            if change is Change.DELETED:
                self._forget_waiting(key, pod)
                self._gone[pod["metadata"]["uid"]] = None
                if len(self._gone) > _GONE_MAX:
                    self._gone.popitem(last=False)
            if change is Change.DELETED or is_done(pod):
                for claim in pod_claims(pod):
                    self._claim_queue.add(claim)
            else:
                self._pod_queue.add(key)

    def _forget_waiting(self, key: str, pod: JsonObject) -> None:
        for wanted in pod["spec"]["resourceClaims"]:
            template = _template_key(pod, wanted)
            if (waiting := self._waiting.get(template)) is not None:
                waiting.discard(key)
                if not waiting:
                    del self._waiting[template]

    def _observe_claims(self, deltas: Sequence[Delta]) -> None:
        for change, key, _, _ in deltas:
            # One that was made for a pod is made again; one that is allocated now is reserved.
            for pod in self._pods.keys(POD_CLAIMS_INDEX, key):
                self._pod_queue.add(pod)
            if change is not Change.DELETED:
                self._claim_queue.add(key)

    def _observe_templates(self, deltas: Sequence[Delta]) -> None:
        for change, key, _, _ in deltas:
            if change is Change.ADDED:
                for pod in self._waiting.pop(key, ()):
                    self._pod_queue.add(pod)

    async def sync_pod(self, key: str) -> None:
        """Make the claims that a pod lacks, and reserve what it uses."""
        try:
            await self._sync_pod(key)
        except NotForPod as error:
            # Until the claim that is in the way goes, or the template comes: we are told of both.
            _log.info("pod %s: %s", key, error)

    async def _sync_pod(self, key: str) -> None:
        pod = self._pods.get(key)
        if pod is None or "deletionTimestamp" in pod["metadata"]:
            return
        known = {
            one["name"]: one.get("resourceClaimName")
            for one in (pod.get("status") or {}).get("resourceClaimStatuses") or ()
        }
        made: dict[str, str] = {}
        for wanted in pod["spec"].get("resourceClaims") or ():
            try:
                name = await self._ensure(pod, wanted)
            except (NotForPod, StatusError) as error:
                text = f"PodResourceClaim {wanted['name']}: {error}"
                about = reference_of(POD, pod)
                self._recorder.warn(about, "FailedResourceClaimCreation", text)
                raise
            if name:
                made[wanted["name"]] = name
        if made:
            await self._write_names(pod, {**known, **made})
        if pod["spec"].get("nodeName"):
            await self._reserve_all(pod)

    async def _ensure(self, pod: JsonObject, wanted: JsonObject) -> str:
        """Make the claim that a pod's template asks for; return its name if that is news."""
        name, is_made = claim_name(pod, wanted)
        namespace = pod["metadata"]["namespace"]
        if not is_made or name == "":
            return ""
        if name is not None:
            claim = self._claims.get(f"{namespace}/{name}")
            if claim is not None and owning_pod(claim)[1] == pod["metadata"]["uid"]:
                return ""
        # One that was made before the pod's status could be written is found again.
        for claim in self._claims.find(OWNER_POD_INDEX, pod["metadata"]["uid"]):
            notes = claim["metadata"].get("annotations") or {}
            if notes.get(OF_POD_CLAIM) == wanted["name"]:
                found: str = claim["metadata"]["name"]
                return found
        return await self._make(pod, wanted)

    async def _make(self, pod: JsonObject, wanted: JsonObject) -> str:
        namespace, template_name = pod["metadata"]["namespace"], wanted["resourceClaimTemplateName"]
        key = _template_key(pod, wanted)
        template = self._templates.get(key)
        if template is None:
            self._waiting.setdefault(key, set()).add(f"{namespace}/{pod['metadata']['name']}")
            text = f'resourceclaimtemplate.resource.k8s.io "{template_name}" not found'
            raise NotForPod(f'resource claim template "{template_name}": {text}')
        metadata = template["spec"].get("metadata") or {}
        body: JsonObject = {
            "metadata": {
                "generateName": claim_prefix(pod["metadata"]["name"], wanted["name"]),
                "ownerReferences": [POD.controls(pod)],
                "annotations": {
                    **(metadata.get("annotations") or {}),
                    OF_POD_CLAIM: wanted["name"],
                },
            },
            "spec": template["spec"]["spec"],
        }
        if metadata.get("labels"):
            body["metadata"]["labels"] = metadata["labels"]
        path = CLAIM.path(f"{namespace}/").rstrip("/")
        made = await self._client.request("POST", path, body)
        name: str = made["metadata"]["name"]
        return name

    async def _write_names(self, pod: JsonObject, names: dict[str, str | None]) -> None:
        statuses = [
            {"name": name} if claim is None else {"name": name, "resourceClaimName": claim}
            for name, claim in sorted(names.items())
        ]
        metadata = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "status": {"resourceClaimStatuses": statuses},
        }
        key = f"{metadata['namespace']}/{metadata['name']}"
        path = f"{pod_path(key)}/status"
        await self._client.request(
            "PATCH",
            path,
            Patch(body, _APPLY),
            query={"fieldManager": _MANAGER, "force": "true"},
        )

    async def _reserve_all(self, pod: JsonObject) -> None:
        """Reserve what a pod uses that came to its node without a scheduler."""
        uid = pod["metadata"]["uid"]
        for wanted in pod["spec"].get("resourceClaims") or ():
            name, is_made = claim_name(pod, wanted)
            if not name:
                continue
            claim = self._claims.get(f"{pod['metadata']['namespace']}/{name}")
            if claim is None:
                return
            if is_made:
                check_owner(pod, claim)
            status = claim.get("status") or {}
            reserved = status.get("reservedFor") or []
            if (
                not status.get("allocation")
                or is_reserved_for(claim, uid)
                or len(reserved) >= _RESERVED_MAX
            ):
                continue
            consumer = {"resource": "pods", "name": pod["metadata"]["name"], "uid": uid}
            await self._write_status(claim, {**status, "reservedFor": [*reserved, consumer]})

    async def _write_status(self, claim: JsonObject, status: JsonObject) -> JsonObject:
        metadata = claim["metadata"]
        path = CLAIM.path(f"{metadata['namespace']}/{metadata['name']}")
        return await self._client.request("PUT", f"{path}/status", {**claim, "status": status})

    async def sync_claim(self, key: str) -> None:
        """Drop reservations of pods that are gone, and what nobody needs any more."""
        claim = self._claims.get(key)
        if claim is None:
            return
        status = claim.get("status") or {}
        reserved = status.get("reservedFor") or []
        valid = [one for one in reserved if await self._is_valid(claim, one)]
        has_finalizer = FINALIZER in (claim["metadata"].get("finalizers") or ())
        is_going = "deletionTimestamp" in claim["metadata"]
        if len(valid) < len(reserved) or (is_going and has_finalizer and not valid):
            changed = {name: value for name, value in status.items() if name != "reservedFor"}
            if valid:
                changed["reservedFor"] = valid
            elif has_finalizer:
                changed.pop("allocation", None)
                changed.pop("devices", None)
            if changed != status:
                claim = await self._write_status(claim, changed)
            if has_finalizer and not (claim.get("status") or {}).get("allocation"):
                await self._drop_finalizer(key, claim)
        if not valid and not is_going:
            await self._delete_unused(key, claim)

    async def _is_valid(self, claim: JsonObject, consumer: JsonObject) -> bool:
        if consumer.get("apiGroup") or consumer.get("resource") != "pods":
            return True  # of those we know nothing
        if consumer["uid"] in self._gone or not is_name(consumer["name"]):
            return False
        key = f"{claim['metadata']['namespace']}/{consumer['name']}"
        pod = self._pods.get(key)
        if pod is None:
            # The watch may not have told of it yet, and the scheduler may be at work with it.
            try:
                pod = await self._client.request("GET", pod_path(key))
            except StatusError as error:
                if error.code != 404:
                    raise
                return False
        return bool(pod["metadata"]["uid"] == consumer["uid"]) and not is_done(pod)

    async def _drop_finalizer(self, key: str, claim: JsonObject) -> None:
        metadata = claim["metadata"]
        finalizers = [one for one in metadata.get("finalizers") or () if one != FINALIZER]
        body = {**claim, "metadata": {**metadata, "finalizers": finalizers}}
        await self._client.request("PUT", CLAIM.path(key), body)

    async def _delete_unused(self, key: str, claim: JsonObject) -> None:
        """Delete a claim whose pod is done: the pod itself may stay for long."""
        name, uid = owning_pod(claim)
        pod = self._pods.get(f"{claim['metadata']['namespace']}/{name}") if name else None
        if pod is None or (pod["metadata"]["uid"] == uid and not is_done(pod)):
            return
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": claim["metadata"]["uid"]},
        }
        try:
            await self._client.request("DELETE", CLAIM.path(key), options)
        except StatusError as error:
            if error.code not in (404, 409):
                raise


def _template_key(pod: JsonObject, wanted: JsonObject) -> str:
    return f"{pod['metadata']['namespace']}/{wanted.get('resourceClaimTemplateName', '')}"
