"""Lists in chunks, and what is no table."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

from conformance.api import Call
from conformance.checks import CaseFailed, check, refused, same
from conformance.registry import case
from conformance.resource import Resource
from conformance.stage import Stage
from kube.json_types import JsonObject
from kube.status import StatusError

_TOTAL: Final = 400
_EXPIRY_S_MAX: Final = 600.0
_EXPIRY_POLL_S: Final = 5.0


async def _many(stage: Stage) -> Resource:
    templates = stage.of("v1", "podtemplates", "PodTemplate")
    places = asyncio.Semaphore(20)
    spec = {"containers": [{"name": "test", "image": "test2"}]}

    async def create(number: int) -> None:
        async with places:
            metadata = {"name": f"template-{number:04d}"}
            await templates.create({"metadata": metadata, "template": {"spec": spec}})

    await asyncio.gather(*(create(number) for number in range(_TOTAL)))
    return templates


class _Pages:
    """Looks at one page after another: names in order, and how many are said to follow."""

    def __init__(self) -> None:
        self.found = 0

    def take(self, page: JsonObject, limit: int) -> str:
        items, metadata = page["items"], page["metadata"]
        check(len(items) <= limit, f"a page of {len(items)} objects is more than {limit}")
        more = metadata.get("continue", "")
        remaining = metadata.get("remainingItemCount")
        if more:
            same((remaining or 0) + len(items) + self.found, _TOTAL, "objects told of so far")
        else:
            same(remaining, None, "remainingItemCount of the last page")
        for item in items:
            same(item["metadata"]["name"], f"template-{self.found:04d}", "the next name")
            self.found += 1
        return str(more)


@case(
    "[sig-api-machinery] Servers with support for API chunking should return chunks of results for "
    "list calls [Conformance]"
)
async def chunks(stage: Stage) -> None:
    """Pages of any size make up the whole list, at one revision."""
    templates = await _many(stage)
    for _round in range(3):
        pages, more, revision = _Pages(), "", ""
        while True:
            limit = random.randint(1, _TOTAL // 10)
            query = {"limit": str(limit), **({"continue": more} if more else {})}
            page = await templates.fetch_list(**query)
            revision = revision or page["metadata"]["resourceVersion"]
            same(page["metadata"]["resourceVersion"], revision, "the list's revision")
            more = pages.take(page, limit)
            if not more:
                break
        same(pages.found, _TOTAL, "objects in all pages")
    whole = await templates.fetch_list(limit=str(_TOTAL + 1))
    same(len(whole["items"]), _TOTAL, "objects in one answer")


@case(
    "[sig-api-machinery] Servers with support for API chunking should support continue listing "
    "from the last key if the original version has been compacted away, though the list is "
    "inconsistent [Conformance] [Slow]",
    timeout_s=_EXPIRY_S_MAX + 120,
)
async def chunks_after_compaction(stage: Stage) -> None:
    """A token that has expired is answered with one that goes on at the present state."""
    templates = await _many(stage)
    limit = _TOTAL // 10
    first = await templates.fetch_list(limit=str(limit))
    pages = _Pages()
    token = pages.take(first, limit)
    token = await _until_expired(templates, token, limit)
    page = await templates.fetch_list(**{"limit": str(limit), "continue": token})
    revision = page["metadata"]["resourceVersion"]
    check(revision != first["metadata"]["resourceVersion"], "the list goes on at a new revision")
    same(len(page["items"]), limit, "objects in the page after the expired one")
    more = pages.take(page, limit)
    while more:
        page = await templates.fetch_list(**{"limit": str(limit), "continue": more})
        same(page["metadata"]["resourceVersion"], revision, "the list's revision")
        more = pages.take(page, limit)
    same(pages.found, _TOTAL, "objects in all pages")


async def _until_expired(templates: Resource, token: str, limit: int) -> str:
    """Ask for the same page until its token has expired; return the token that is given instead."""
    query = {"limit": str(limit), "continue": token}
    for _attempt in range(int(_EXPIRY_S_MAX / _EXPIRY_POLL_S)):
        try:
            await templates.fetch_list(**query)
        except StatusError as error:
            same(error.reason, "Expired", "the refusal of an old token")
            metadata: Any = error.status.get("metadata") or {}
            check(metadata.get("continue"), "the refusal has a token to go on with")
            return str(metadata["continue"])
        await asyncio.sleep(_EXPIRY_POLL_S)
    raise CaseFailed(f"the token has not expired within {_EXPIRY_S_MAX:g} s")


@case(
    "[sig-api-machinery] Servers with support for Table transformation should return a 406 for a "
    "backend which does not implement metadata [Conformance]"
)
async def no_table(stage: Stage) -> None:
    """An access review cannot be had as a table."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    table = [("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")]
    request = stage.api.call(Call("POST", path, review, headers=table))
    await refused("NotAcceptable", request)
