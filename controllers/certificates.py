"""Certificate requests: those of kubelets are approved, what is approved is signed, old ones go.

A kubelet's request is approved if whoever made it may create the subresource `nodeclient` of such
requests (or `selfnodeclient`, for its own name): that is asked of the API server. What somebody has
approved is signed with the cluster's CA, if its signer is one of the cluster's own and the request
is what that signer signs; if not, the request gets the condition Failed.
"""

from __future__ import annotations

import base64
import math
from pathlib import Path
from typing import Any, Final

from controllers.certificate_authority import CertificateAuthority
from controllers.signing_requests import (
    SIGNERS,
    condition_of,
    is_of_a_kubelet,
    names_of,
    parse_request,
    refusal,
)
from controllers.workqueue import Backoff, WorkQueue, run_worker
from kube import times
from kube.client import ApiClient
from kube.informers.changes import Change
from kube.json_types import JsonObject
from kube.status import StatusError
from runtime.clock import Clock
from runtime.tasks import TaskScope

PATH: Final = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_DECIDED_S: Final = 3600.0
_PENDING_S: Final = 24 * 3600.0
_KINDS: Final = (
    ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
    ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
)


class CertificateController:
    """See the module's head.

    Args of the constructor:
        client: the API server.
        authority: what signs; None: nothing is signed here.
        clock: for the age of requests.
    """

    def __init__(
        self, client: ApiClient, authority: CertificateAuthority | None, clock: Clock
    ) -> None:
        self._client = client
        self._authority = authority
        self._clock = clock
        self._queue: WorkQueue[str] = WorkQueue(Backoff(first_s=0.2, most_s=60.0))
        self._requests: dict[str, JsonObject] = {}

    def start(self, scope: TaskScope) -> None:
        """Start the worker in `scope`."""
        scope.spawn(run_worker(self._queue, self.reconcile), name="certificates")

    def observe(self, change: Change, csr: JsonObject) -> None:
        """Take note of a request's change."""
        name = csr["metadata"]["name"]
        if change is Change.DELETED:
            self._requests.pop(name, None)
        else:
            self._requests[name] = csr
            self._queue.add(name)

    async def reconcile(self, name: str) -> float | None:
        """Do what is next for a request; return in how many seconds to look again."""
        csr = self._requests.get(name)
        if csr is None:
            return None
        left_s = self._left_s(csr)
        try:
            if left_s <= 0:
                await self._client.request("DELETE", f"{PATH}/{name}", _only(csr))
            elif not (condition_of(csr, "Approved") or condition_of(csr, "Denied")):
                await self._approve(csr)
            elif _is_to_be_signed(csr) and self._authority is not None:
                await self._sign(csr, self._authority)
        except StatusError as error:
            # The watch is about to show what is there now, or that it is gone.
            if error.reason not in ("Conflict", "NotFound"):
                raise
        return None if math.isinf(left_s) else max(1.0, left_s)

    def _left_s(self, csr: JsonObject) -> float:
        """Return for how long a request is kept: a day while undecided, an hour when done with.

        One that is approved and not signed yet waits for its signer, however long that takes.
        """
        conditions = (csr.get("status") or {}).get("conditions") or ()
        since, kept_s = csr["metadata"]["creationTimestamp"], _PENDING_S
        if conditions:
            if _waits_for_its_signer(csr):
                return math.inf
            told = [one["lastUpdateTime"] for one in conditions if one.get("lastUpdateTime")]
            since, kept_s = max(told, default=since), _DECIDED_S
        return kept_s - (self._clock.now_s() - times.epoch_seconds(since))

    async def _approve(self, csr: JsonObject) -> None:
        request = parse_request(csr)
        if request is None or not is_of_a_kubelet(csr, request):
            return
        is_own = names_of(request)[0] == csr["spec"].get("username")
        for part, message in _KINDS if is_own else _KINDS[1:]:
            if await self._may(csr, part):
                await self._add_condition(csr, "approval", "Approved", "AutoApproved", message)
                return

    async def _may(self, csr: JsonObject, part: str) -> bool:
        spec = csr["spec"]
        wanted = {
            "group": "certificates.k8s.io",
            "resource": "certificatesigningrequests",
            "verb": "create",
            "version": "*",
            "subresource": part,
        }
        asked: JsonObject = {"user": spec.get("username", ""), "resourceAttributes": wanted}
        for key in ("uid", "groups", "extra"):
            if spec.get(key):
                asked[key] = spec[key]
        answer = await self._client.request("POST", _REVIEWS, {"spec": asked})
        return bool(answer["status"].get("allowed"))

    async def _sign(self, csr: JsonObject, authority: CertificateAuthority) -> None:
        request = parse_request(csr)
        why = "the request cannot be read" if request is None else refusal(csr, request)
        if request is None or why:
            await self._add_condition(csr, "status", "Failed", "SignerValidationFailure", why)
            return
        spec = csr["spec"]
        pem = authority.sign(
            request, spec.get("usages") or (), spec.get("expirationSeconds"), self._clock.now_s()
        )
        status = {**(csr.get("status") or {}), "certificate": base64.b64encode(pem).decode()}
        await self._write(csr, "status", status)

    async def _add_condition(
        self, csr: JsonObject, part: str, kind: str, reason: str, message: str
    ) -> None:
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        status = dict(csr.get("status") or {})
        status["conditions"] = [*(status.get("conditions") or ()), condition]
        await self._write(csr, part, status)

    async def _write(self, csr: JsonObject, part: str, status: JsonObject) -> None:
        path = f"{PATH}/{csr['metadata']['name']}/{part}"
        await self._client.request("PUT", path, {**csr, "status": status})


def _waits_for_its_signer(csr: JsonObject) -> bool:
    return bool(
        condition_of(csr, "Approved")
        and not condition_of(csr, "Denied")
        and not condition_of(csr, "Failed")
        and not (csr.get("status") or {}).get("certificate")
    )


def _is_to_be_signed(csr: JsonObject) -> bool:
    return _waits_for_its_signer(csr) and csr["spec"].get("signerName") in SIGNERS


def _only(csr: JsonObject) -> dict[str, Any]:
    """Return options of a delete of just this request."""
    return {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {"uid": csr["metadata"]["uid"]},
    }


def read_authority(certificate: Path | None, key: Path | None) -> CertificateAuthority | None:
    """Return what signs, None if that is not named.

    Raises:
        OSError, ValueError: the files cannot be read, or hold something else.
    """
    if certificate is None or key is None:
        return None
    return CertificateAuthority(certificate.read_bytes(), key.read_bytes())
