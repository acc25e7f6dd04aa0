"""Flags of the command line that have much to say, as types of parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from ultraplane.options import path_argument

WrittenKubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        parser=path_argument,
        metavar="FILE",
        help="Where to write the kubeconfig. A file with other clusters in it is never "
        "touched. Default: DIR/kubeconfig",
    ),
]
WatchedKubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        parser=path_argument,
        metavar="FILE",
        help="Whose cluster to show, and as whom. Default: that in DIR.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Processes that serve on the port; more than 1 share one replica. [1]",
    ),
]
ControllerList = Annotated[
    str | None,
    typer.Option(
        "--controllers",
        metavar="LIST",
        help="Which controllers run, as upstream's flag says it: '*,-job' for all but one. [*]",
    ),
]
Nodes = Annotated[
    int | None,
    typer.Option(
        "--nodes",
        metavar="N",
        help="Simulated nodes to have, on which pods live as if they ran; 0: none. [3]",
    ),
]
Without = Annotated[
    str | None,
    typer.Option(
        "--without",
        metavar="PARTS",
        help="What not to run, with commas between: controllers, scheduler, fleet.",
    ),
]
JournalAddress = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="ADDRESS",
        help="Use the one there (unix:/path, tcp:host:port, nats://host:port,...), start none.",
    ),
]
Join = Annotated[
    Path | None,
    typer.Option(
        "--join",
        parser=path_argument,
        metavar="DIR",
        help="Be one more API server, without controllers, of the cluster whose data is in DIR.",
    ),
]
TokenAuthFile = Annotated[
    Path | None,
    typer.Option(
        "--token-auth-file",
        parser=path_argument,
        metavar="FILE",
        help='More bearer tokens, one a line: token,user,uid,"group1,group2".',
    ),
]
AuthorizationConfig = Annotated[
    Path | None,
    typer.Option(
        "--authorization-config",
        parser=path_argument,
        metavar="FILE",
        help="Who is asked what users may do, in order (AuthorizationConfiguration).",
    ),
]
AuthorizationMode = Annotated[
    str | None,
    typer.Option(
        "--authorization-mode",
        metavar="NAMES",
        help="The same by names: Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny. Default: Node,RBAC.",
    ),
]
AuthorizationWebhookConfig = Annotated[
    Path | None,
    typer.Option(
        "--authorization-webhook-config-file",
        parser=path_argument,
        metavar="FILE",
        help="A kubeconfig that says where the authorization webhook is.",
    ),
]
AuthenticationConfig = Annotated[
    Path | None,
    typer.Option(
        "--authentication-config",
        parser=path_argument,
        metavar="FILE",
        help="OpenID issuers whose tokens are accepted (AuthenticationConfiguration).",
    ),
]
OidcIssuerUrl = Annotated[
    str | None,
    typer.Option(
        "--oidc-issuer-url",
        metavar="URL",
        help="Accept the tokens of this one OpenID issuer.",
    ),
]
OidcClientId = Annotated[
    str | None,
    typer.Option(
        "--oidc-client-id",
        metavar="ID",
        help="Whom those must be for.",
    ),
]
OidcUsernameClaim = Annotated[
    str | None,
    typer.Option(
        "--oidc-username-claim",
        metavar="CLAIM",
        help="Their claim that names the user. [sub]",
    ),
]
OidcUsernamePrefix = Annotated[
    str | None,
    typer.Option(
        "--oidc-username-prefix",
        metavar="TEXT",
        help='What is put before the name; "-": nothing.',
    ),
]
OidcGroupsClaim = Annotated[
    str | None,
    typer.Option(
        "--oidc-groups-claim",
        metavar="CLAIM",
        help="Their claim that names groups.",
    ),
]
OidcGroupsPrefix = Annotated[
    str | None,
    typer.Option(
        "--oidc-groups-prefix",
        metavar="TEXT",
        help="What is put before each group.",
    ),
]
OidcCaFile = Annotated[
    Path | None,
    typer.Option(
        "--oidc-ca-file",
        parser=path_argument,
        metavar="FILE",
        help="Certificates (PEM) by which the issuer is known.",
    ),
]
AuditPolicyFile = Annotated[
    Path | None,
    typer.Option(
        "--audit-policy-file",
        parser=path_argument,
        metavar="FILE",
        help="Which requests are put on record (audit.k8s.io/v1 Policy).",
    ),
]
AuditLogPath = Annotated[
    Path | None,
    typer.Option(
        "--audit-log-path", parser=path_argument, metavar="FILE", help="Where they are written."
    ),
]
TestedKubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        parser=path_argument,
        metavar="FILE",
        help="Test the server that this one's current context leads to, as its user, who has to be "
        "allowed everything. KUBECONFIG is not looked at.",
    ),
]
TestedServer = Annotated[
    str, typer.Option("--server", metavar="URL", help="Test this one; see --token and --ca-file.")
]
TestedToken = Annotated[
    str,
    typer.Option(
        "--token",
        metavar="TOKEN",
        envvar="ULTRAPLANE_CONFORMANCE_TOKEN",
        help="Bearer token for --server; better by the variable, which others cannot see.",
    ),
]
TestedCaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", parser=path_argument, metavar="FILE", help="CA certificates for --server."
    ),
]
Focus = Annotated[
    list[str] | None,
    typer.Option(
        "--focus",
        metavar="RE",
        help="Only cases in whose name this is found; may be given again for more.",
    ),
]
Skip = Annotated[
    list[str] | None,
    typer.Option("--skip", metavar="RE", help="No case in whose name this is found."),
]
ListOnly = Annotated[bool, typer.Option("--list", help="Print the cases' names; run nothing.")]
Parallel = Annotated[
    int,
    typer.Option(
        "--parallel", metavar="N", min=1, max=64, help="Cases at a time; serial ones run alone."
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report",
        parser=path_argument,
        metavar="DIR",
        help="Write junit_conformance.xml and conformance.json there.",
    ),
]
StandIns = Annotated[
    bool,
    typer.Option(
        "--stand-ins/--no-stand-ins",
        help="Run cases that do themselves what upstream leaves to a container.",
    ),
]
WebhookHost = Annotated[
    str,
    typer.Option(
        "--webhook-host",
        metavar="HOST",
        help="Address of this machine at which the server reaches the webhooks of cases; needed "
        "for a server elsewhere. Default: loopback.",
    ),
]
E2eBinary = Annotated[
    Path | None,
    typer.Option(
        "--e2e-binary",
        parser=path_argument,
        metavar="FILE",
        help="Run upstream's e2e.test, too, and take its results into the report, where they count "
        "before ours. Without --focus: what needs no container.",
    ),
]
OnlyBinary = Annotated[
    bool, typer.Option("--only-binary", help="Run the e2e binary alone, none of our cases.")
]
Scale = Annotated[
    float,
    typer.Option(
        "--scale",
        metavar="SHARE",
        min=0.01,
        max=1.0,
        help="How much of the published sizes: 1 is 100,000 nodes, 300,000 pods and 10 million "
        "objects, which wants 24 GiB of memory and hours; 0.01 takes a minute or two.",
    ),
]
ScaleObjects = Annotated[
    int | None,
    typer.Option(
        "--objects",
        metavar="N",
        min=0,
        help="Objects at the peak. Default: 10 million times SHARE, as far as there is room.",
    ),
]
ScaleReport = Annotated[
    Path | None,
    typer.Option(
        "--report",
        parser=path_argument,
        metavar="DIR",
        help="Write scaletest.html, a page with plots, and scaletest.json, all samples, there.",
    ),
]
ScaleProfile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        parser=path_argument,
        metavar="DIR",
        help="Write a flame graph of each process in the mixed phase there; wants py-spy.",
    ),
]
ScaleKubeconfig = Annotated[
    Path | None,
    typer.Option(
        "--kubeconfig",
        parser=path_argument,
        metavar="FILE",
        help="Use the cluster that this one's current context leads to, as its user, who has to be "
        "allowed everything. It needs a fleet of one node, and gets, and loses, many objects.",
    ),
]
EnablePlugins = Annotated[
    str | None,
    typer.Option(
        "--enable-admission-plugins",
        metavar="NAME,...",
        help="Admission plugins that run besides the default ones.",
    ),
]
DisablePlugins = Annotated[
    str | None,
    typer.Option(
        "--disable-admission-plugins",
        metavar="NAME,...",
        help="Default admission plugins that do not run.",
    ),
]
AdmissionControl = Annotated[
    Path | None,
    typer.Option(
        "--admission-control-config-file",
        parser=path_argument,
        metavar="FILE",
        help="How plugins are configured (AdmissionConfiguration).",
    ),
]
SETTINGS: Final = {
    "port": "server.port",
    "workers": "server.workers",
    "controllers": "controllers.run",
    "nodes": "fleet.nodes",
    "encryption_provider_config": "storage.encryption_provider_config",
    "join": "join",
    "token_auth_file": "auth.token_file",
    "authentication_config": "auth.authentication_config",
    "authorization_config": "auth.authorization_config",
    "authorization_mode": "auth.authorization_mode",
    "authorization_webhook_config_file": "auth.authorization_webhook_config_file",
    "oidc_issuer_url": "auth.oidc_issuer_url",
    "oidc_client_id": "auth.oidc_client_id",
    "oidc_username_claim": "auth.oidc_username_claim",
    "oidc_username_prefix": "auth.oidc_username_prefix",
    "oidc_groups_claim": "auth.oidc_groups_claim",
    "oidc_groups_prefix": "auth.oidc_groups_prefix",
    "oidc_ca_file": "auth.oidc_ca_file",
    "audit_policy_file": "audit.policy_file",
    "audit_log_path": "audit.log_path",
    "enable_admission_plugins": "admission.enable_plugins",
    "disable_admission_plugins": "admission.disable_plugins",
    "admission_control_config_file": "admission.control_config_file",
}
"""The settings that flags of `ultraplane up` give as they are, by the flags' names."""
