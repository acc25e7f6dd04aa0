"""What kubectl asks a cluster about itself: discovery, schemas, identity, nodes, raw paths."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.integration.kubectl.kubectl_runner import Kubectl, rows

pytestmark = pytest.mark.kubectl


@pytest.fixture
def node(kubectl: Kubectl) -> Iterator[str]:
    """The name of a Node."""
    name = f"{kubectl.namespace}-node"
    manifest = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    kubectl("create", "-f", "-", stdin=orjson.dumps(manifest).decode())
    yield name
    assert kubectl.cluster.call("DELETE", f"/api/v1/nodes/{name}").code == 200


def test_api_resources_and_versions_list_the_api(kubectl: Kubectl) -> None:
    table = rows(kubectl("api-resources"))
    assert ["pods", "po", "v1", "true", "Pod"] in table
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in table
    assert ["customresourcedefinitions", "crd,crds", "apiextensions.k8s.io/v1", "false"] in [
        row[:4] for row in table
    ]
    names = kubectl("api-resources", "--verbs=list", "--namespaced", "-o", "name").split()
    assert "cronjobs.batch" in names
    assert "nodes" not in names
    assert {"v1", "apps/v1", "batch/v1", "autoscaling/v2"} <= {*kubectl("api-versions").split()}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("pods", "VERSION:    v1"),
        ("deployment.spec.strategy", "FIELD: strategy <DeploymentStrategy>"),
        ("pod.spec.containers.image", "FIELD: image <string>"),
        ("cronjob.spec.jobTemplate.spec.template.spec.nodeSelector", "<map[string]string>"),
        ("crd.spec.versions", "<[]CustomResourceDefinitionVersion>"),
    ],
)
def test_explain_knows_every_field(kubectl: Kubectl, path: str, wanted: str) -> None:
    explained = kubectl("explain", path)
    assert wanted in explained
    assert "<empty>" not in explained


def test_explain_unfolds_a_type_and_knows_older_versions(kubectl: Kubectl) -> None:
    assert "livenessProbe\t<Probe>" in kubectl("explain", "pod", "--recursive")
    older = kubectl("explain", "hpa.spec", "--api-version=autoscaling/v1")
    assert "targetCPUUtilizationPercentage" in older
    said = kubectl.refused("explain", "pods.nope")
    assert said == 'error: field "nope" does not exist\n'


def test_version_and_cluster_info_name_the_server(kubectl: Kubectl) -> None:
    version = kubectl.run("version", "-o", "json")
    assert orjson.loads(version.stdout)["serverVersion"]["minor"] == "37"
    shown = kubectl("cluster-info")
    assert f"control plane is running at {kubectl.cluster.url}" in shown.replace("\x1b[0m", "")


def test_raw_paths_are_read(kubectl: Kubectl) -> None:
    assert kubectl("get", "--raw", "/readyz") == "ok"
    space = orjson.loads(kubectl("get", "--raw", f"/api/v1/namespaces/{kubectl.namespace}"))
    assert space["status"] == {"phase": "Active"}


def test_whoami_and_can_i_answer(kubectl: Kubectl) -> None:
    groups = kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.groups}")
    assert "system:masters" in groups
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert rows(kubectl("auth", "can-i", "--list"))[1] == ["*.*", "[]", "[]", "[*]"]


def test_a_token_is_created_for_a_service_account(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "robot")
    token = kubectl("create", "token", "robot", "--duration=10m").strip()
    # The kubeconfig's own certificate would win over a token given beside it.
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token},
    }
    shown = kubectl("create", "-f", "-", "-o", "json", stdin=orjson.dumps(review).decode())
    status = orjson.loads(shown)["status"]
    assert status["user"]["username"] == f"system:serviceaccount:{kubectl.namespace}:robot"


def test_a_certificate_is_approved_signed_and_another_denied(kubectl: Kubectl) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "robot")])
    request = x509.CertificateSigningRequestBuilder().subject_name(names).sign(key, SHA256())
    for name in ("good", "bad"):
        manifest = {
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": f"{kubectl.namespace}-{name}"},
            "spec": {
                "request": b64encode(request.public_bytes(Encoding.PEM)).decode(),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"],
            },
        }
        kubectl("create", "-f", "-", stdin=orjson.dumps(manifest).decode())
    good, bad = f"csr/{kubectl.namespace}-good", f"csr/{kubectl.namespace}-bad"
    assert "approved" in kubectl("certificate", "approve", good.partition("/")[2])
    assert "denied" in kubectl("certificate", "deny", bad.partition("/")[2])
    kubectl("wait", "--for=jsonpath={.status.certificate}", good, "--timeout=20s")
    told = [row[-1] for row in rows(kubectl("get", good, bad, "--no-headers"))]
    assert told == ["Approved,Issued", "Denied"]
    assert kubectl.run("delete", good, bad).returncode == 0


def test_access_is_reconciled(kubectl: Kubectl) -> None:
    made = (
        "create",
        "role",
        "r",
        "--verb=get",
        "--resource=pods",
        "--dry-run=client",
        "-o",
        "json",
    )
    done = kubectl.run("auth", "reconcile", "-f", "-", stdin=kubectl(*made))
    assert done.stdout == "role.rbac.authorization.k8s.io/r reconciled\n"
    assert "reconciliation required create" in done.stderr
    assert kubectl("get", "role", "r", "-o", "jsonpath={.rules[*].verbs}") == '["get"]'


def test_nodes_are_tainted_cordoned_and_drained(kubectl: Kubectl, node: str) -> None:
    assert kubectl("taint", "node", node, "a=b:NoExecute") == f"node/{node} tainted\n"
    assert kubectl("taint", "node", node, "a-") == f"node/{node} untainted\n"
    assert kubectl("cordon", node) == f"node/{node} cordoned\n"
    (row,) = rows(kubectl("get", "node", node, "--no-headers"))
    assert row[:3] == [node, "Unknown,SchedulingDisabled", "<none>"]
    assert kubectl("uncordon", node) == f"node/{node} uncordoned\n"
    assert kubectl("drain", node) == f"node/{node} cordoned\nnode/{node} drained\n"
    described = kubectl("describe", "node", node)
    assert "Unschedulable:      true" in described


def test_draining_evicts_the_pods_of_a_node(kubectl: Kubectl, node: str) -> None:
    overrides = f'{{"spec":{{"nodeName":"{node}","terminationGracePeriodSeconds":0}}}}'
    kubectl("run", "p", "--image=web", f"--overrides={overrides}")
    assert "p" in kubectl("describe", "node", node).split()
    drained = kubectl.run("drain", node, "--force", "--timeout=20s")
    assert drained.returncode == 0, drained.stderr
    assert "pod/p evicted" in drained.stdout
    assert "not found" in kubectl.refused("get", "pod", "p")


def test_what_needs_a_kubelet_or_metrics_says_so(kubectl: Kubectl) -> None:
    kubectl("run", "p", "--image=web")
    unplaced = "Error from server (BadRequest): pod p does not have a host assigned\n"
    assert kubectl("logs", "p") == ""
    assert kubectl.refused("exec", "p", "--", "ls") == unplaced
    assert kubectl.refused("top", "pods") == "error: Metrics API not available\n"
    assert kubectl.refused("top", "nodes") == "error: Metrics API not available\n"
