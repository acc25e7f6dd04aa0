"""What a node may do over HTTP: what concerns the pods on it, from when they come until they go."""

from __future__ import annotations

import pytest

from tests.integration.api_calls import Json, check_status, named, pod
from tests.integration.cluster import Answer, Cluster
from tests.integration.personas import Persona, made, persona

NODES = {"Impersonate-Group": "system:nodes"}
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class Node(Persona):
    """A node's kubelet, as a user."""

    def ask(self, method: str, path: str, body: Json | None = None) -> Answer:
        """Send a request as the node."""
        return self.call(method, path, body, headers=NODES)

    @property
    def node(self) -> str:
        """The node's name."""
        return self.name.removeprefix("system:node:")


@pytest.fixture
def kubelet(cluster: Cluster) -> Node:
    """A new node."""
    return Node(cluster, f"system:node:{persona(cluster).name}")


def _refused(answer: Answer, reason: str) -> bool:
    return answer.code == 403 and answer.json["message"].endswith(f": {reason}")


def test_a_node_reads_what_its_pods_refer_to_while_they_are_there(
    cluster: Cluster, namespace: str, kubelet: Node
) -> None:
    space = f"/api/v1/namespaces/{namespace}"
    secret = f"{space}/secrets/s"
    made(cluster, f"{space}/secrets", named("s"))
    made(cluster, f"{space}/serviceaccounts", named("a"))
    unrelated = f"no relationship found between node '{kubelet.node}' and this object"
    assert _refused(kubelet.ask("GET", secret), unrelated)
    obj = pod("p", kubelet.node)
    obj["spec"]["volumes"] = [{"name": "v", "secret": {"secretName": "s"}}]
    obj["spec"]["serviceAccountName"] = "a"
    made(cluster, f"{space}/pods", obj)
    assert kubelet.ask("GET", secret).code == 200
    watch = f"{space}/secrets?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Ds"
    assert kubelet.ask("GET", watch).code == 200
    assert _refused(kubelet.ask("GET", f"{space}/secrets"), "No Object name found")
    assert _refused(kubelet.ask("DELETE", secret), "can only read resources of this type")
    token = f"{space}/serviceaccounts/a/token"
    uid = cluster.call("GET", f"{space}/pods/p").json["metadata"]["uid"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}
    assert kubelet.ask("POST", token, {"spec": {"boundObjectRef": bound}}).code == 201
    unbound = kubelet.ask("POST", token, {})
    assert unbound.code == 403
    assert unbound.json["message"].endswith("node requested token not bound to a pod")
    other = Node(cluster, f"{kubelet.name}-other")
    assert other.ask("GET", secret).code == 403
    assert other.ask("POST", token, {}).code == 403
    now = {"gracePeriodSeconds": 0}
    assert cluster.call("DELETE", f"{space}/pods/p", now).code == 200
    assert _refused(kubelet.ask("GET", secret), unrelated)


def test_a_node_reads_volumes_of_its_pods_claims(
    cluster: Cluster, namespace: str, kubelet: Node
) -> None:
    space = f"/api/v1/namespaces/{namespace}"
    modes = {"accessModes": ["ReadWriteOnce"]}
    volume = f"pv-{namespace}"
    claim = {
        **named("c"),
        "spec": {
            **modes,
            "resources": {"requests": {"storage": "1Gi"}},
            "volumeName": volume,
        },
    }
    made(cluster, f"{space}/persistentvolumeclaims", claim)
    reference = {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": "c"}
    secret = {"name": "driver", "namespace": namespace}
    driver = {"driver": "d.example.com", "volumeHandle": "1", "nodeStageSecretRef": secret}
    spec = {**modes, "capacity": {"storage": "1Gi"}, "claimRef": reference, "csi": driver}
    made(cluster, "/api/v1/persistentvolumes", {**named(volume), "spec": spec})
    made(cluster, f"{space}/secrets", named("driver"))
    paths = (
        f"{space}/persistentvolumeclaims/c",
        f"/api/v1/persistentvolumes/{volume}",
        f"{space}/secrets/driver",
    )
    assert [kubelet.ask("GET", path).code for path in paths] == [403] * 3
    obj = pod("p", kubelet.node)
    source = {"persistentVolumeClaim": {"claimName": "c"}}
    obj["spec"]["volumes"] = [{"name": "v", **source}]
    made(cluster, f"{space}/pods", obj)
    assert [kubelet.ask("GET", path).code for path in paths] == [200] * 3


def test_a_node_knows_itself_and_its_pods_only(
    cluster: Cluster, namespace: str, kubelet: Node
) -> None:
    assert kubelet.ask("POST", "/api/v1/nodes", named(kubelet.node)).code == 201
    assert kubelet.ask("GET", f"/api/v1/nodes/{kubelet.node}").code == 200
    selected = f"/api/v1/nodes?fieldSelector=metadata.name%3D{kubelet.node}"
    assert kubelet.ask("GET", selected).code == 200
    whole = f"node '{kubelet.node}' cannot read all nodes, only its own Node object"
    assert _refused(kubelet.ask("GET", "/api/v1/nodes"), whole)
    other = f"node '{kubelet.node}' cannot read 'x', only its own Node object"
    assert _refused(kubelet.ask("GET", "/api/v1/nodes/x"), other)
    pods = "/api/v1/pods?fieldSelector=spec.nodeName%3D"
    assert kubelet.ask("GET", pods + kubelet.node).code == 200
    unselected = "can only list/watch pods with spec.nodeName field selector"
    assert _refused(kubelet.ask("GET", pods + "x"), unselected)
    assert _refused(kubelet.ask("GET", "/api/v1/pods"), unselected)
    made(cluster, f"/api/v1/namespaces/{namespace}/pods", pod("here", kubelet.node))
    made(cluster, f"/api/v1/namespaces/{namespace}/pods", pod("there", "x"))
    assert kubelet.ask("GET", f"/api/v1/namespaces/{namespace}/pods/here").code == 200
    assert kubelet.ask("GET", f"/api/v1/namespaces/{namespace}/pods/there").code == 403


def test_a_node_renews_its_own_lease(kubelet: Node) -> None:
    assert kubelet.ask("POST", LEASES, named(kubelet.node)).code == 201
    assert kubelet.ask("GET", f"{LEASES}/{kubelet.node}").code == 200
    same = "can only access node lease with the same name as the requesting node"
    assert _refused(kubelet.ask("GET", f"{LEASES}/x"), same)
    elsewhere = LEASES.replace("kube-node-lease", "default")
    where = 'can only access leases in the "kube-node-lease" system namespace'
    assert _refused(kubelet.ask("GET", f"{elsewhere}/{kubelet.node}"), where)
    verbs = "can only get, create, update, patch, or delete a node lease"
    assert _refused(kubelet.ask("GET", LEASES), verbs)


def test_a_node_may_read_services_and_report_events(namespace: str, kubelet: Node) -> None:
    assert kubelet.ask("GET", "/api/v1/services").code == 200
    assert kubelet.ask("GET", "/api/v1/namespaces").code == 403
    event = {**named("e"), "involvedObject": {"namespace": namespace}, "reason": "Any"}
    assert kubelet.ask("POST", f"/api/v1/namespaces/{namespace}/events", event).code == 201


def test_who_is_called_a_node_and_is_not_in_their_group_is_none(kubelet: Node) -> None:
    answer = kubelet.call("GET", f"/api/v1/nodes/{kubelet.node}")
    message = (
        f'nodes "{kubelet.node}" is forbidden: User "{kubelet.name}" cannot get resource "nodes" '
        'in API group "" at the cluster scope'
    )
    check_status(answer, 403, "Forbidden", message)
