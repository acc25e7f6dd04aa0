"""Plans of requests: what is remembered of others' is what is worked out anew."""

from __future__ import annotations

from typing import Any, Final

import pytest

from apiserver.exchange import Exchange
from apiserver.metrics import Metrics
from apiserver.plans import Plan, Plans
from apiserver.resources import Catalog
from apiserver.verb_table import Verbs
from kube.builtin_kinds import builtin_registry

_PODS: Final = "/api/v1/namespaces/one/pods"
_PATHS: Final = (
    _PODS,
    f"{_PODS}/a",
    f"{_PODS}/b",
    f"{_PODS}/a/",
    f"{_PODS}/a/status",
    f"{_PODS}/b/status",
    f"{_PODS}/status/status",
    f"{_PODS}/a/none",
    f"{_PODS}/a/proxy",
    f"{_PODS}/a/proxy/status",
    f"{_PODS}/proxy/proxy/proxy",
    f"{_PODS}//status",
    "/api/v1/namespaces/two/pods/a",
    "/api/v1/namespaces/pods/pods/pods",
    "/api/v1/pods",
    "/api/v1/pods/a",
    "/api/v1/namespaces",
    "/api/v1/namespaces/one",
    "/api/v1/namespaces/pods",
    "/api/v1/namespaces/one/status",
    "/api/v1/namespaces/pods/status",
    "/api/v1/namespaces/one/finalize",
    "/api/v1/namespaces/status/pods",
    "/api/v1/watch/namespaces/one/pods/a",
    "/api/v1/nodes/a",
    "/api/v1/nodes/status",
    "/api/v1/nodes/a/status",
    "/apis/apps/v1/namespaces/one/deployments/a",
    "/apis/apps/v1/namespaces/one/deployments/a/scale",
    "/apis/apps/v1/namespaces/one/none/a",
)
_METHODS: Final = ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "TRACE")


def _exchange(method: str, path: str, query: bytes = b"") -> Exchange:
    scope = {"method": method, "path": path, "query_string": query, "headers": []}
    return Exchange(scope, _unused, _unused, 0)


async def _unused(*_: Any) -> Any:
    raise AssertionError


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog(builtin_registry())


def _plans(catalog: Catalog) -> Plans:
    async def handle(*_: Any) -> None:
        raise AssertionError

    verbs = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
    main = dict.fromkeys(verbs, handle)
    parts = {("*", part, verb): handle for part in ("status", "scale") for verb in verbs}
    return Plans(catalog, Verbs(main, {**parts, ("*", "proxy", ""): handle}, {}), Metrics())


def _seen(plan: Plan | None) -> object:
    if plan is None:
        return None
    return *plan[:2], plan.handler is None, plan.attributes, plan.series.labels


@pytest.mark.parametrize("query", [b"", b"watch=true&fieldSelector=metadata.name%3Da"])
@pytest.mark.parametrize("method", _METHODS)
def test_what_is_remembered_of_others_is_what_is_worked_out(
    catalog: Catalog, method: str, query: bytes
) -> None:
    plans = _plans(catalog)
    for _ in range(2):
        for path in (*_PATHS, *reversed(_PATHS)):
            found = plans.find(_exchange(method, path, query))
            assert _seen(found) == _seen(_plans(catalog).find(_exchange(method, path, query)))


def test_the_name_is_that_of_each_request(catalog: Catalog) -> None:
    plans = _plans(catalog)
    for name in ("a", "b"):
        found = plans.find(_exchange("PUT", f"{_PODS}/{name}/status"))
        assert found is not None
        assert (found.target.name, found.attributes.name) == (name, name)
        assert found.attributes.path == f"{_PODS}/{name}/status"
