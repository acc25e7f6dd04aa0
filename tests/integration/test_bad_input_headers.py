"""What a client sends comes back in headers only where it can't end them."""

from __future__ import annotations

import pytest

from tests.integration.cluster import Cluster


@pytest.mark.parametrize("kind", ["configmaps", "pods"])
def test_a_line_break_in_an_unknown_field_makes_no_header(
    cluster: Cluster, namespace: str, kind: str
) -> None:
    body = (
        b'{"metadata":{"generateName":"a-","x\\r\\nforged: yes\\r\\ny":1},'
        b'"spec":{"containers":[{"name":"a","image":"b","z":1}]}}'
    )
    if kind == "configmaps":
        body = body.replace(b'"spec"', b'"z"')
    path = f"/api/v1/namespaces/{namespace}/{kind}"
    answer = cluster.call("POST", path, body, timeout_s=10)
    assert answer.code == 201, answer.body
    assert "forged" not in {name.lower() for name in answer.headers}
    assert "unknown field" in answer.headers["warning"]
