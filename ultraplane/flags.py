"""Flags of the command line that have much to say, as types of parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        help="Processes that serve on the port; more than 1 share one replica. [1]",
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
Without = Annotated[
    list[str] | None,
    typer.Option(
        "--without",
        metavar="PART",
        help="Do not run this part: scheduler. Repeatable.",
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
