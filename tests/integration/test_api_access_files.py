"""Files that say who is let in and who decides count, and do so soon after they change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.authorization_server import Webhook, run_webhook, write_kubeconfig
from tests.integration.cluster import Cluster, run_cluster
from tests.integration.personas import grant, persona, rule
from tests.integration.token_issuer import CLIENT, TokenIssuer, run_issuer

VERSION = "apiserver.config.k8s.io/v1"
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
PODS = "/api/v1/namespaces/default/pods"
_WAIT_S_MAX = 30.0


@dataclass
class Setup:
    """A cluster, its files, and those that they name."""

    directory: Path
    issuer: TokenIssuer
    url: str
    webhook: Webhook = field(default_factory=Webhook)

    def write_issuers(self, prefix: str, **more: Any) -> None:
        """Trust the issuer, and put a prefix before names."""
        entry = {
            "issuer": {
                "url": self.issuer.url,
                "audiences": [CLIENT, "another"],
                "audienceMatchPolicy": "MatchAny",
                "certificateAuthority": self.issuer.authority.read_text(),
            },
            "claimMappings": {
                "username": {"expression": f"'{prefix}' + claims.sub"},
                "groups": {"expression": "claims.?teams.orValue([])"},
                "extra": [{"key": "example.org/level", "valueExpression": "string(claims.level)"}],
            },
            "claimValidationRules": [{"expression": "claims.level > 1", "message": "too low"}],
            "userValidationRules": [{"expression": "!user.username.endsWith('root')"}],
        }
        document = {
            "kind": "AuthenticationConfiguration",
            "apiVersion": VERSION,
            "jwt": [entry],
            "anonymous": {"enabled": True, "conditions": [{"path": "/livez"}]},
            **more,
        }
        (self.directory / "authentication.yaml").write_text(yaml.safe_dump(document))

    def write_authorizers(self, policy: str, *conditions: str) -> None:
        """Ask the webhook, on these conditions, before roles."""
        spec: dict[str, Any] = {
            "timeout": "2s",
            "cacheAuthorizedRequests": False,
            "cacheUnauthorizedRequests": False,
            "subjectAccessReviewVersion": "v1",
            "matchConditionSubjectAccessReviewVersion": "v1",
            "failurePolicy": policy,
            "connectionInfo": {
                "type": "KubeConfigFile",
                "kubeConfigFile": str(self.directory / "webhook.yaml"),
            },
            "matchConditions": [{"expression": text} for text in conditions],
        }
        document = {
            "kind": "AuthorizationConfiguration",
            "apiVersion": VERSION,
            "authorizers": [
                {"type": "Webhook", "name": "first", "webhook": spec},
                {"type": "Node", "name": "node"},
                {"type": "RBAC", "name": "rbac"},
            ],
        }
        (self.directory / "authorization.yaml").write_text(yaml.safe_dump(document))


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setup]:
    """Files, and those they name."""
    directory = tmp_path_factory.mktemp("files")
    webhook = Webhook()
    with run_issuer(directory) as issuer, run_webhook(webhook) as url:
        made = Setup(directory, issuer, url, webhook)
        write_kubeconfig(directory / "webhook.yaml", url)
        made.write_issuers("a:")
        made.write_authorizers("Deny", WANTED)
        yield made


WANTED = "request.user.startsWith('foe') || request.user.startsWith('friend')"


@pytest.fixture(scope="module")
def filed(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that goes by the files."""
    auth = {
        "authentication_config": str(setup.directory / "authentication.yaml"),
        "authorization_config": str(setup.directory / "authorization.yaml"),
    }
    with run_cluster(tmp_path_factory.mktemp("filed"), {"auth": auth}) as running:
        yield running


def _who(cluster: Cluster, token: str) -> Any:
    answer = cluster.call("POST", WHO, {}, headers={"Authorization": f"Bearer {token}"})
    return answer.json["status"]["userInfo"] if answer.code == 201 else answer.code


def _until(found: Callable[[], bool]) -> None:
    until_s = time.monotonic() + _WAIT_S_MAX
    while not found():
        assert time.monotonic() < until_s, f"nothing changed in {_WAIT_S_MAX:g} s"
        time.sleep(0.05)


def test_a_user_is_made_of_claims_by_expressions(filed: Cluster, setup: Setup) -> None:
    user = _who(filed, setup.issuer.token(sub="jo", aud="another", level=2, teams=["red"]))
    assert (user["username"], user["groups"]) == ("a:jo", ["red", "system:authenticated"])
    assert user["extra"]["example.org/level"] == ["2"]


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "jo", "level": 1},
        {"sub": "jo"},
        {"sub": "root", "level": 2},
        {"sub": "jo", "level": 2, "aud": "neither"},
        {"sub": "jo", "level": 2, "teams": [1]},
    ],
)
def test_a_token_that_breaks_a_rule_names_nobody(
    filed: Cluster, setup: Setup, claims: dict[str, Any]
) -> None:
    assert _who(filed, setup.issuer.token(**claims)) == 401


def test_nobody_may_ask_for_what_the_file_lists_and_nothing_else(filed: Cluster) -> None:
    nobody = {"Authorization": ""}
    paths = ("/livez", "/readyz", "/version")
    codes = [filed.call("GET", path, headers=nobody).code for path in paths]
    assert codes == [200, 401, 401]


def test_issuers_of_a_changed_file_count_soon_and_a_wrong_one_changes_nothing(
    filed: Cluster, setup: Setup
) -> None:
    token = setup.issuer.token(sub="jo", level=2)
    setup.write_issuers("b:", jwt=[{"issuer": {}}])
    setup.write_authorizers("Deny", WANTED, "true")
    assert _who(filed, token)["username"] == "a:jo"
    setup.write_issuers("b:")
    _until(lambda: bool(_who(filed, token)["username"] == "b:jo"))
    setup.write_issuers("a:")
    _until(lambda: bool(_who(filed, token)["username"] == "a:jo"))


def test_a_webhook_that_comes_first_may_deny_what_a_role_allows(
    filed: Cluster, setup: Setup
) -> None:
    foe, other = persona(filed, "foe-1"), persona(filed)
    for one in (foe, other):
        grant(one, "default", rule("list", "pods"))
    refused = foe.call("GET", PODS)
    assert (refused.code, refused.json["message"].endswith(": a foe")) == (403, True)
    assert other.call("GET", PODS).code == 200
    # Its condition leaves the other out: it was not asked about.
    assert {one["user"] for one in setup.webhook.asked} >= {"foe-1"}
    assert other.name not in {one["user"] for one in setup.webhook.asked}
    review = {"spec": {"user": "foe-2", "resourceAttributes": {"verb": "get", "resource": "pods"}}}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    status = filed.call("POST", path, review).json["status"]
    assert status == {"allowed": False, "denied": True, "reason": "a foe"}


def test_while_a_webhook_does_not_answer_its_failure_policy_decides(
    filed: Cluster, setup: Setup
) -> None:
    foe = persona(filed, "foe-3")
    grant(foe, "default", rule("list", "pods"))
    setup.webhook.is_broken = True
    assert foe.call("GET", PODS).code == 403
    setup.write_authorizers("NoOpinion", WANTED)
    _until(lambda: foe.call("GET", PODS).code == 200)
    setup.webhook.is_broken = False
    _until(lambda: foe.call("GET", PODS).code == 403)


def test_conditions_of_a_changed_file_count_soon(filed: Cluster, setup: Setup) -> None:
    foe = persona(filed, "foe-4")
    grant(foe, "default", rule("list", "pods"))
    assert foe.call("GET", PODS).code == 403
    setup.write_authorizers("Deny", "has(request.resourceAttributes.fieldSelector)")
    _until(lambda: foe.call("GET", PODS).code == 200)
    assert foe.call("GET", f"{PODS}?fieldSelector=metadata.name%3Da").code == 403
