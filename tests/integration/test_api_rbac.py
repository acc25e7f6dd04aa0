"""Who may do what: roles and bindings over HTTP, from the grant to the refusal's words."""

from __future__ import annotations

from tests.integration.api_calls import MERGE, check_status, named
from tests.integration.cluster import Cluster
from tests.integration.personas import GROUP, RBAC, grant, made, persona, rule

APPLY = "application/apply-patch+yaml"
COORDINATION = "coordination.k8s.io"


def test_who_is_bound_to_nothing_is_refused_in_upstreams_words(
    cluster: Cluster, namespace: str
) -> None:
    user = persona(cluster)
    where = f"/api/v1/namespaces/{namespace}/pods"
    message = (
        f'pods is forbidden: User "{user.name}" cannot list resource "pods" in API group "" in '
        f'the namespace "{namespace}"'
    )
    check_status(user.call("GET", where), 403, "Forbidden", message)
    message = (
        f'pods "a" is forbidden: User "{user.name}" cannot get resource "pods/log" in API group '
        f'"" in the namespace "{namespace}"'
    )
    check_status(user.call("GET", f"{where}/a/log"), 403, "Forbidden", message)
    message = f'forbidden: User "{user.name}" cannot get path "/metrics"'
    check_status(user.call("GET", "/metrics"), 403, "Forbidden", message)


def test_a_change_of_a_binding_counts_for_the_very_next_request(
    cluster: Cluster, namespace: str
) -> None:
    user = persona(cluster)
    name = grant(user, namespace, rule("list", "pods"))
    pods = f"/api/v1/namespaces/{namespace}/pods"
    binding = f"{RBAC}/namespaces/{namespace}/rolebindings/{name}"
    for _ in range(20):
        assert user.call("GET", pods).code == 200
        nobody = {"subjects": []}
        assert cluster.call("PATCH", binding, nobody, content_type=MERGE).code == 200
        assert user.call("GET", pods).code == 403
        again = {"subjects": [user.subject()]}
        assert cluster.call("PATCH", binding, again, content_type=MERGE).code == 200


def test_a_change_of_a_role_counts_for_the_very_next_request(
    cluster: Cluster, namespace: str
) -> None:
    user = persona(cluster)
    name = grant(user, "", rule("list", "pods"))
    assert user.call("GET", "/api/v1/pods").code == 200
    role = f"{RBAC}/clusterroles/{name}"
    rules = {"rules": [rule("list", "nodes")]}
    assert cluster.call("PATCH", role, rules, content_type=MERGE).code == 200
    assert user.call("GET", "/api/v1/pods").code == 403
    assert user.call("GET", "/api/v1/nodes").code == 200
    assert cluster.call("DELETE", role).code == 200
    refused = user.call("GET", "/api/v1/nodes")
    message = (
        f'nodes is forbidden: User "{user.name}" cannot list resource "nodes" in API group "" at '
        f'the cluster scope: RBAC: clusterrole.{GROUP} "{name}" not found'
    )
    check_status(refused, 403, "Forbidden", message)


def test_a_role_of_a_namespace_reaches_no_further(cluster: Cluster, namespace: str) -> None:
    user = persona(cluster)
    grant(user, namespace, rule("get list", "configmaps"))
    assert user.call("GET", f"/api/v1/namespaces/{namespace}/configmaps").code == 200
    assert user.call("GET", "/api/v1/namespaces/default/configmaps").code == 403
    assert user.call("GET", "/api/v1/configmaps").code == 403
    assert user.call("GET", f"/api/v1/namespaces/{namespace}/secrets").code == 403


def test_a_rule_of_names_allows_those_objects_and_lists_of_one_of_them(
    cluster: Cluster, namespace: str
) -> None:
    user = persona(cluster)
    grant(user, namespace, rule("get list watch create", "configmaps", names="mine"))
    where = f"/api/v1/namespaces/{namespace}/configmaps"
    made(cluster, where, named("mine"))
    assert user.call("GET", f"{where}/mine").code == 200
    assert user.call("GET", f"{where}/other").code == 403
    assert user.call("GET", where).code == 403
    assert user.call("GET", f"{where}?fieldSelector=metadata.name%3Dmine").code == 200
    assert user.call("GET", f"{where}?fieldSelector=metadata.name%3Dother").code == 403
    assert user.call("GET", f"{where}?fieldSelector=metadata.name%21%3Dmine").code == 403
    watch = f"{where}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dmine"
    assert user.call("GET", watch).code == 200
    # A name is chosen in the body, which nobody has looked at yet.
    assert user.call("POST", where, named("mine")).code == 403


def test_subresources_are_allowed_by_themselves(cluster: Cluster, namespace: str) -> None:
    user = persona(cluster)
    grant(user, namespace, rule("get", "*/scale", "apps"))
    where = f"/apis/apps/v1/namespaces/{namespace}/deployments/a"
    assert user.call("GET", f"{where}/scale").code == 404
    assert user.call("GET", f"{where}/status").code == 403
    assert user.call("GET", where).code == 403


def test_a_rule_of_paths_may_end_in_a_star(cluster: Cluster) -> None:
    user = persona(cluster)
    grant(user, "", {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/debug/*"]})
    assert user.call("GET", "/metrics").code == 200
    assert user.call("GET", "/debug/anything").code == 404
    assert user.call("GET", "/ultraplane/status").code == 403


def test_nobody_in_particular_may_ask_for_health_and_version_only(cluster: Cluster) -> None:
    headers = {"Authorization": ""}
    for path in ("/livez", "/readyz", "/healthz", "/version"):
        assert cluster.call("GET", path, headers=headers).code == 200
    for path in ("/api", "/apis", "/openapi/v2", "/metrics", "/api/v1/pods", "/livez/ping"):
        refused = cluster.call("GET", path, headers=headers)
        assert (refused.code, refused.json["reason"]) == (403, "Forbidden"), path
    assert (
        'User "system:anonymous" cannot get path "/api"'
        in cluster.call("GET", "/api", headers=headers).json["message"]
    )


def test_everybody_authenticated_may_discover(cluster: Cluster) -> None:
    user = persona(cluster)
    for path in ("/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v3", "/version"):
        assert user.call("GET", path).code == 200, path


def test_service_accounts_are_bound_by_namespace_and_name(cluster: Cluster, namespace: str) -> None:
    name = f"system:serviceaccount:{namespace}:robot"
    robot = persona(cluster, name)
    binding = {
        "metadata": {"name": "view-robot"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": namespace}],
    }
    made(cluster, f"{RBAC}/namespaces/{namespace}/rolebindings", binding)
    assert robot.call("GET", f"/api/v1/namespaces/{namespace}/pods").code == 200
    assert robot.call("GET", f"/api/v1/namespaces/{namespace}/secrets").code == 403
    other = persona(cluster, f"system:serviceaccount:{namespace}:other")
    assert other.call("GET", f"/api/v1/namespaces/{namespace}/pods").code == 403


def test_who_may_impersonate_is_asked_for_each_thing_named(cluster: Cluster) -> None:
    review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    # A request names one user to act as, so who may do so comes with a token.
    token = _token_of_account(cluster, "actor")
    account = persona(cluster, "system:serviceaccount:default:actor")
    grant(account, "", rule("impersonate", "users", names="jane"), rule("impersonate", "groups"))
    asked = {"Authorization": f"Bearer {token}", "Impersonate-User": "jane"}
    assert cluster.call("POST", review, {}, headers=asked).code == 201
    grouped = {**asked, "Impersonate-Group": "any"}
    assert cluster.call("POST", review, {}, headers=grouped).code == 201
    refused = cluster.call("POST", review, {}, headers={**asked, "Impersonate-User": "joe"})
    message = (
        f'users "joe" is forbidden: User "{account.name}" cannot impersonate resource "users" in '
        'API group "" at the cluster scope'
    )
    check_status(refused, 403, "Forbidden", message)
    extra = {**asked, "Impersonate-Extra-scopes": "all"}
    refused = cluster.call("POST", review, {}, headers=extra)
    message = (
        f'userextras.authentication.k8s.io "all" is forbidden: User "{account.name}" cannot '
        'impersonate resource "userextras/scopes" in API group "authentication.k8s.io" at the '
        "cluster scope"
    )
    check_status(refused, 403, "Forbidden", message)


def _token_of_account(cluster: Cluster, name: str) -> str:
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    made(cluster, accounts, named(name))
    token: str = made(cluster, f"{accounts}/{name}/token", {})["status"]["token"]
    return token


def test_a_write_that_would_create_needs_that_verb_too(cluster: Cluster, namespace: str) -> None:
    user = persona(cluster)
    grant(user, namespace, rule("patch", "configmaps"), rule("update", "leases", COORDINATION))
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}
    where = f"/api/v1/namespaces/{namespace}/configmaps"
    applied = f"{where}/a?fieldManager=m"
    message = (
        f'configmaps "a" is forbidden: User "{user.name}" cannot create resource "configmaps" in '
        f'API group "" in the namespace "{namespace}"'
    )
    refused = user.call("PATCH", applied, config, content_type=APPLY)
    check_status(refused, 403, "Forbidden", message)
    made(cluster, where, config)
    assert user.call("PATCH", applied, config, content_type=APPLY).code == 200
    lease = {"apiVersion": f"{COORDINATION}/v1", "kind": "Lease", "metadata": {"name": "a"}}
    leases = f"/apis/{COORDINATION}/v1/namespaces/{namespace}/leases"
    assert user.call("PUT", f"{leases}/a", lease).code == 403
    made(cluster, leases, lease)
    stored = cluster.call("GET", f"{leases}/a").json
    assert user.call("PUT", f"{leases}/a", stored).code == 200
