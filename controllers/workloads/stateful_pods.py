"""Writing a StatefulSet's pods and their claims, and telling of it (stateful_pod_control.go)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controllers.recorder import Recorder
from controllers.workloads.claim_book import ClaimBook
from controllers.workloads.claim_retention import Claimant, Retention, is_stale, policy_of
from controllers.workloads.claims import pod_path
from controllers.workloads.pod_control import Failure, has_cause, reference_of
from controllers.workloads.pods import PodBrief
from controllers.workloads.stateful_identity import (
    STATEFUL_SET,
    claim_name,
    has_identity,
    identity,
    new_claim,
    templates_of,
)
from kube.client import ApiClient, Patch, Unreachable
from kube.informers.store import Store
from kube.json_types import JsonObject
from kube.status import StatusError

_CLAIMS = "/api/v1/namespaces/{}/persistentvolumeclaims"


class ClaimGoing(Exception):
    """A pod's claim is being deleted; the pod is made with a new one when it is gone."""


class StatefulPods:
    """Writes for all sets.

    Args of the constructor:
        client: who writes.
        recorder: who tells of it.
        claims: what there is of claims.
        store: the claims themselves.
        completers: what completes a pod before it is created, given its namespace.
    """

    def __init__(
        self,
        client: ApiClient,
        recorder: Recorder,
        claims: ClaimBook,
        store: Store,
        completers: Sequence[Callable[[JsonObject, str], JsonObject]] = (),
    ) -> None:
        self._client = client
        self._recorder = recorder
        self._claims = claims
        self._store = store
        self._completers = completers

    @property
    def client(self) -> ApiClient:
        """Who writes."""
        return self._client

    def waits_for_claims(self, owner: JsonObject, pod_name: str) -> bool:
        """Tell whether a pod can't be made yet: the claims of the last one of its name go first."""
        when_scaled, _ = policy_of(owner)
        if not when_scaled:
            return False
        pod = Claimant("v1", "Pod", pod_name, "")
        namespace, name = owner["metadata"]["namespace"], owner["metadata"]["name"]
        for template in templates_of(owner):
            key = f"{namespace}/{claim_name(template, pod_name)}"
            claim = self._claims.get(key)
            if claim is not None and is_stale(claim.references, pod):
                self._claims.wait(key, f"{namespace}/{name}")
                return True
        return False

    def lacks_claims(self, owner: JsonObject, pod_name: str) -> bool:
        """Tell whether a pod has not all its claims."""
        namespace = owner["metadata"]["namespace"]
        names = (claim_name(one, pod_name) for one in templates_of(owner))
        return any(self._claims.get(f"{namespace}/{name}") is None for name in names)

    async def create(self, owner: JsonObject, pod: JsonObject, retention: Retention) -> None:
        """Create a pod, its claims first.

        Raises:
            StatusError, Unreachable, ClaimGoing: the pod was not created, as far as is known.
        """
        name, namespace = pod["metadata"]["name"], owner["metadata"]["namespace"]
        path = f"/api/v1/namespaces/{namespace}/pods"
        for complete in self._completers:
            pod = complete(pod, namespace)
        try:
            await self.create_claims(owner, name, retention)
            await self._client.request("POST", path, pod)
        except StatusError as error:
            if error.status.get("reason") != "AlreadyExists":
                self._tell(owner, "create", name, error)
            raise
        except (Unreachable, ClaimGoing) as error:
            self._tell(owner, "create", name, error)
            raise
        self._tell(owner, "create", name)

    async def create_claims(self, owner: JsonObject, name: str, retention: Retention) -> None:
        """Create the claims that a pod lacks.

        Raises:
            StatusError, Unreachable: one was not created, as far as is known.
            ClaimGoing: one is there, but goes.
        """
        namespace = owner["metadata"]["namespace"]
        for template in templates_of(owner):
            key = f"{namespace}/{claim_name(template, name)}"
            known = self._claims.get(key)
            if known is None:
                await self._create_claim(owner, template, name, retention)
            elif known.is_deleting:
                self._claims.wait(key, f"{namespace}/{owner['metadata']['name']}")
                raise ClaimGoing(f"pvc {claim_name(template, name)} is being deleted")

    async def _create_claim(
        self, owner: JsonObject, template: JsonObject, pod_name: str, retention: Retention
    ) -> None:
        claim = new_claim(owner, template, pod_name)
        if references := retention.changed(claim["metadata"].get("ownerReferences") or ()):
            claim["metadata"]["ownerReferences"] = references
        about = reference_of(STATEFUL_SET, owner)
        what = f"Claim {claim['metadata']['name']}"
        within = f"Pod {pod_name} in StatefulSet {owner['metadata']['name']}"
        path = _CLAIMS.format(owner["metadata"]["namespace"])
        try:
            await self._client.request("POST", path, claim)
        except (StatusError, Unreachable) as error:
            if isinstance(error, StatusError) and error.status.get("reason") == "AlreadyExists":
                return
            if not has_cause(error, "NamespaceTerminating"):
                text = f"create {what} for {within} failed error: {error}"
                self._recorder.warn(about, "FailedCreate", text)
            raise
        self._recorder.note(about, "SuccessfulCreate", f"create {what} {within} success")

    def keeps_claims(self, owner: JsonObject, retention: Retention) -> bool:
        """Tell whether a pod's claims belong to whom they are to."""
        namespace = owner["metadata"]["namespace"]
        for template in templates_of(owner):
            claim = self._claims.get(f"{namespace}/{claim_name(template, retention.pod.name)}")
            if claim is not None and not retention.is_kept(claim.references):
                return False
        return True

    async def give_claims(self, owner: JsonObject, retention: Retention) -> None:
        """Let a pod's claims belong to whom they are to.

        Raises:
            StatusError, Unreachable: one does not, as far as is known.
        """
        namespace = owner["metadata"]["namespace"]
        for template in templates_of(owner):
            name = claim_name(template, retention.pod.name)
            claim = self._store.get(f"{namespace}/{name}")
            if claim is None:
                continue
            references = claim["metadata"].get("ownerReferences") or []
            if retention.has_stranger(references):
                text = (
                    f"PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a "
                    "manging controller, the retention policy is ignored for this claim"
                )
                about = reference_of(STATEFUL_SET, owner)
                self._recorder.warn(about, "ConflictingController", text)
            if retention.is_kept(references):
                continue
            claim["metadata"]["ownerReferences"] = retention.changed(references)
            await self._client.request("PUT", f"{_CLAIMS.format(namespace)}/{name}", claim)

    async def mend(self, owner: JsonObject, pod: PodBrief, retention: Retention) -> None:
        """Give a living pod the labels of its identity, and its claims their owners.

        Raises:
            StatusError, Unreachable: not all is as it is to be.
        """
        change = {"metadata": {"uid": pod.uid, "labels": identity(pod.name)}}
        try:
            await self.give_claims(owner, retention)
            if not has_identity(pod):
                await self._client.request("PATCH", pod_path(pod.key), Patch(change))
        except (StatusError, Unreachable) as error:
            self._tell(owner, "update", pod.name, error)
            raise
        self._tell(owner, "update", pod.name)

    async def delete(self, owner: JsonObject, pod: PodBrief) -> bool:
        """Delete a pod; tell whether that very one was there.

        Raises:
            StatusError, Unreachable: it was not deleted, as far as is known.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": pod.uid},
        }
        try:
            await self._client.request("DELETE", pod_path(pod.key), options)
        except (StatusError, Unreachable) as error:
            # Gone; or the next of its name is there already.
            if isinstance(error, StatusError) and error.code in (404, 409):
                return False
            self._tell(owner, "delete", pod.name, error)
            raise
        self._tell(owner, "delete", pod.name)
        return True

    def _tell(
        self, owner: JsonObject, verb: str, pod: str, error: Failure | ClaimGoing | None = None
    ) -> None:
        about = reference_of(STATEFUL_SET, owner)
        text = f"{verb} Pod {pod} in StatefulSet {owner['metadata']['name']}"
        if error is None:
            self._recorder.note(about, f"Successful{verb.title()}", f"{text} successful")
        elif not has_cause(error, "NamespaceTerminating"):
            self._recorder.warn(about, f"Failed{verb.title()}", f"{text} failed error: {error}")
