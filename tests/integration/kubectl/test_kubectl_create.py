"""`kubectl create` and its relatives; most of them send protobuf bodies."""

from __future__ import annotations

import pytest

from tests.integration.kubectl.kubectl_runner import Kubectl

pytestmark = pytest.mark.kubectl

CREATED = [
    ("configmap m --from-literal=a=b", "configmap/m"),
    ("secret generic s --from-literal=a=b", "secret/s"),
    ("secret docker-registry r --docker-username=a --docker-password=b", "secret/r"),
    ("serviceaccount a", "serviceaccount/a"),
    ("quota q --hard=pods=10", "resourcequota/q"),
    ("deployment d --image=web --replicas=2 --port=80", "deployment.apps/d"),
    ("job j --image=work", "job.batch/j"),
    ("ingress i --rule=shop.example.org/a=s:80 --class=front", "ingress.networking.k8s.io/i"),
    ("poddisruptionbudget b --selector=a=b --min-available=1", "poddisruptionbudget.policy/b"),
    ("role r --verb=get,list --resource=pods", "role.rbac.authorization.k8s.io/r"),
    ("rolebinding r --role=r --user=u", "rolebinding.rbac.authorization.k8s.io/r"),
    ("service clusterip c --tcp=80:8080", "service/c"),
    ("service nodeport n --tcp=80:8080", "service/n"),
    ("service loadbalancer l --tcp=80:8080", "service/l"),
    ("service externalname e --external-name=a.example.org", "service/e"),
]
CLUSTER_WIDE = [
    ("clusterrole {} --verb=get --resource=nodes", "clusterrole.rbac.authorization.k8s.io"),
    (
        "clusterrolebinding {} --clusterrole=view --user=u",
        "clusterrolebinding.rbac.authorization.k8s.io",
    ),
    ("priorityclass {} --value=7", "priorityclass.scheduling.k8s.io"),
    ("namespace {}", "namespace"),
]


@pytest.mark.parametrize(("command", "name"), CREATED)
def test_create_makes_the_object_and_says_so(kubectl: Kubectl, command: str, name: str) -> None:
    assert kubectl("create", *command.split()) == f"{name} created\n"
    assert kubectl("get", name, "-o", "name") == f"{name}\n"


@pytest.mark.parametrize(("command", "name"), CLUSTER_WIDE)
def test_create_makes_cluster_wide_objects(kubectl: Kubectl, command: str, name: str) -> None:
    own = f"{kubectl.namespace}-wide"
    assert kubectl("create", *command.format(own).split()) == f"{name}/{own} created\n"
    assert kubectl("get", f"{name}/{own}", "-o", "name") == f"{name}/{own}\n"


def test_a_job_is_created_from_a_cron_job(kubectl: Kubectl) -> None:
    made = kubectl("create", "cronjob", "c", "--image=work", "--schedule=0 3 * * *")
    assert made == "cronjob.batch/c created\n"
    assert kubectl("create", "job", "--from=cronjob/c", "now") == "job.batch/now created\n"
    (owner,) = kubectl.json("get", "job", "now")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("CronJob", "c")


def test_what_exists_is_not_created_again(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "m")
    assert 'configmaps "m" already exists' in kubectl.refused("create", "configmap", "m")


def test_a_dry_run_creates_nothing(kubectl: Kubectl) -> None:
    made = kubectl("create", "configmap", "m", "--dry-run=server")
    assert made == "configmap/m created (server dry run)\n"
    assert 'configmaps "m" not found' in kubectl.refused("get", "configmap", "m")


def test_run_makes_a_pod_and_expose_a_service_for_it(kubectl: Kubectl) -> None:
    assert kubectl("run", "p", "--image=web", "--labels=app=p", "--port=80") == "pod/p created\n"
    assert kubectl("expose", "pod", "p", "--target-port=80") == "service/p exposed\n"
    assert kubectl.json("get", "service", "p")["spec"]["selector"] == {"app": "p"}


def test_unknown_fields_are_refused_with_their_paths(kubectl: Kubectl) -> None:
    manifest = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m"},"dta":{}}'
    assert 'unknown field "dta"' in kubectl.refused("create", "-f", "-", stdin=manifest)


def test_create_names_every_fault_of_an_object(kubectl: Kubectl) -> None:
    manifest = (
        '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"A"},'
        '"spec":{"containers":[{"name":"c"}]}}'
    )
    said = kubectl.refused("create", "-f", "-", stdin=manifest)
    assert said.startswith('The Pod "A" is invalid: \n* metadata.name: Invalid value: "A"')
    assert "* spec.containers[0].image: Required value" in said
