"""The shortest proof that a cluster works."""

from tests.integration.cluster import Cluster


def test_what_is_created_is_read_back(cluster: Cluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    created = cluster.call("POST", path, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert created.code == 201
    assert cluster.call("GET", f"{path}/a").json == created.json


def test_objects_end_in_a_line_feed_as_gos_encoder_writes_them(
    cluster: Cluster, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    answer = cluster.call("GET", path)
    assert answer.body.endswith(b"}\n")
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert cluster.call("GET", f"{path}/configmaps").body.endswith(b"}\n")
