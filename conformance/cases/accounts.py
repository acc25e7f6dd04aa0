"""Service accounts, their tokens, and who may do what."""

from __future__ import annotations

import base64
from typing import Any, Final

import orjson

from conformance.api import Call
from conformance.checks import CaseFailed, check, eventually, has, same
from conformance.registry import case
from conformance.resource import STRATEGIC, Resource
from conformance.samples import pod
from conformance.stage import Stage
from kube.json_types import JsonObject
from kube.status import StatusError

_ROOT_CA: Final = "kube-root-ca.crt"
_MOUNT: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_AUTHORIZATION: Final = "/apis/authorization.k8s.io/v1"


def _accounts(stage: Stage) -> Resource:
    return stage.of("v1", "serviceaccounts", "ServiceAccount")


@case(
    "[sig-auth] ServiceAccounts should run through the lifecycle of a ServiceAccount [Conformance]"
)
async def lifecycle(stage: Stage) -> None:
    """Create, watch, patch, find in all namespaces, delete by label."""
    accounts = _accounts(stage)
    name = f"testserviceaccount-{stage.unique}"
    labels = {"test-serviceaccount-static": "true", "run": stage.unique}
    selector = f"test-serviceaccount-static=true,run={stage.unique}"
    async with accounts.watch(labelSelector=selector) as watch:
        await accounts.create({"metadata": {"name": name, "labels": labels}})
        await watch.expect("ADDED", lambda obj: obj["metadata"]["name"] == name)
        labels = {"test-serviceaccount": "patched"}
        patch = {"metadata": {"labels": labels}, "automountServiceAccountToken": False}
        await accounts.patch(name, patch, STRATEGIC)
        await watch.until("MODIFIED", lambda obj: obj["metadata"]["name"] == name)
        found = await accounts.anywhere().items(labelSelector=selector)
        same([entry["metadata"]["name"] for entry in found], [name], "in all namespaces")
        same(found[0].get("automountServiceAccountToken"), False, "what was patched")
        await accounts.delete_all(selector)
        await watch.until("DELETED", lambda obj: obj["metadata"]["name"] == name)


@case("[sig-auth] ServiceAccounts should update a ServiceAccount [Conformance]")
async def update(stage: Stage) -> None:
    """An update is what is there afterwards."""
    accounts = _accounts(stage)
    name = f"e2e-sa-{stage.unique}"
    await accounts.create({"metadata": {"name": name}})

    def change(obj: JsonObject) -> None:
        obj["automountServiceAccountToken"] = False

    updated = await accounts.update(name, change)
    same(updated["automountServiceAccountToken"], False, "what was updated")


@case(
    "[sig-auth] ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace "
    "[Conformance]"
)
async def root_certificates(stage: Stage) -> None:
    """The ConfigMap is made in each namespace, made again, and set right."""
    maps = stage.config_maps

    async def certificate() -> str:
        data = (await maps.get(_ROOT_CA)).get("data") or {}
        return str(data.get("ca.crt", ""))

    first = await eventually("the ConfigMap is there", certificate)
    uid = (await maps.get(_ROOT_CA))["metadata"]["uid"]
    await maps.delete(_ROOT_CA)

    async def made_again() -> bool:
        return bool((await maps.get(_ROOT_CA))["metadata"]["uid"] != uid)

    await eventually("the ConfigMap is made again", made_again)
    await maps.update(_ROOT_CA, lambda obj: obj.update(data={"ca.crt": ""}))

    async def set_right() -> bool:
        return await certificate() == first

    await eventually("the ConfigMap is set right", set_right)


@case(
    "[sig-auth] ServiceAccounts should create a serviceAccountToken and ensure a successful "
    "TokenReview [Conformance]"
)
async def token_review(stage: Stage) -> None:
    """A token that was asked for is one that the server knows."""
    accounts = _accounts(stage)
    name = f"e2e-sa-{stage.unique}"
    created = await accounts.create({"metadata": {"name": name}})
    token = await _token(stage, name)
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "metadata": {"name": "token"},
        "spec": {"token": token},
    }
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    status = (await stage.api.call(Call("POST", path, review)))["status"]
    same(status.get("error", ""), "", "the review's error")
    check(status["authenticated"], "the token is authenticated")
    user = status["user"]
    same(user["username"], f"system:serviceaccount:{stage.namespace}:{name}", "the user's name")
    same(user["uid"], created["metadata"]["uid"], "the user's uid")


async def _token(stage: Stage, account: str) -> str:
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600},
    }
    path = f"{_accounts(stage).path}/{account}/token"
    answer = await stage.api.call(Call("POST", path, request))
    token: str = answer["status"]["token"]
    check(token, "there is a token")
    return token


@case(
    "[sig-auth] ServiceAccounts ServiceAccountIssuerDiscovery should support OIDC discovery of "
    "service account issuer [Conformance]",
    local=True,
)
async def issuer_discovery(stage: Stage) -> None:
    """Issuer and keys of a token are published to whoever has one."""
    token = await _token(stage, "default")
    header, claims = (
        orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for part in token.split(".")[:2]
    )
    holder = stage.api.as_user({}, token=token)
    document = await holder.get("/.well-known/openid-configuration")
    same(document["issuer"], claims["iss"], "the issuer")
    keys = (await holder.get("/openid/v1/jwks"))["keys"]
    has([key["kid"] for key in keys], header["kid"], "keys published")


@case("[sig-auth] ServiceAccounts should allow opting out of API token automount [Conformance]")
async def opt_out(stage: Stage) -> None:
    """A Pod's word counts before its account's; without either, tokens are mounted."""
    accounts = _accounts(stage)
    wishes: dict[str, bool | None] = {"default": None, "mount": True, "nomount": False}
    for name, wish in wishes.items():
        if name != "default":
            await accounts.create(
                {"metadata": {"name": name}, "automountServiceAccountToken": wish}
            )
    for account, account_wish in wishes.items():
        for word, pod_wish in (("defaultspec", None), ("mountspec", True), ("nomountspec", False)):
            name = f"pod-service-account-{account}-{word}"
            spec: dict[str, Any] = {"serviceAccountName": account}
            if pod_wish is not None:
                spec["automountServiceAccountToken"] = pod_wish
            created = await stage.pods.create(pod(name, **spec))
            mounts = created["spec"]["containers"][0].get("volumeMounts") or []
            mounted = any(entry["mountPath"] == _MOUNT for entry in mounts)
            wished = account_wish if pod_wish is None else pod_wish
            same(mounted, wished is not False, f"a token mounted into {name}")


@case("[sig-auth] SubjectReview should support SubjectReview API operations [Conformance]")
async def subject_reviews(stage: Stage) -> None:
    """What a review says is what the account meets."""
    created = await _accounts(stage).create({"metadata": {"name": "e2e"}})
    user = f"system:serviceaccount:{stage.namespace}:e2e"
    groups = [
        "system:authenticated",
        "system:serviceaccounts",
        f"system:serviceaccounts:{stage.namespace}",
    ]
    uid = created["metadata"]["uid"]
    attributes = {
        "verb": "list",
        "resource": "configmaps",
        "namespace": stage.namespace,
        "version": "v1",
    }
    spec = {"resourceAttributes": attributes, "user": user, "groups": groups, "uid": uid}
    told = await _review(stage, f"{_AUTHORIZATION}/subjectaccessreviews", spec)
    same(told, await _may_list(stage, user, groups, uid), "the review and the account's request")
    path = f"{_AUTHORIZATION}/namespaces/{stage.namespace}/localsubjectaccessreviews"
    same(await _review(stage, path, {**spec, "user": "e2e"}), told, "the local review")


async def _review(stage: Stage, path: str, spec: JsonObject) -> bool:
    local = path.endswith("localsubjectaccessreviews")
    review: JsonObject = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "LocalSubjectAccessReview" if local else "SubjectAccessReview",
        "spec": spec,
    }
    if local:
        review["metadata"] = {"namespace": stage.namespace}
    return bool((await stage.api.call(Call("POST", path, review)))["status"]["allowed"])


async def _may_list(stage: Stage, user: str, groups: list[str], uid: str) -> bool:
    headers = [("Impersonate-User", user), ("Impersonate-Uid", uid)]
    headers += [("Impersonate-Group", group) for group in groups]
    call = Call("GET", stage.config_maps.path, headers=headers)
    try:
        await stage.api.call(call)
    except StatusError as error:
        if error.reason != "Forbidden":
            raise CaseFailed(f"the account's request: {error.reason}: {error}") from error
        return False
    return True
