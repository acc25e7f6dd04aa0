"""The settings of who is let in, who looks at writes, and of what is put on record of it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from ultraplane.sections import Location, Section


def _names(value: object) -> object:
    """Take names as upstream's flags write them, with commas between."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class AuthSection(Section):
    """Who is let in, besides those the generated kubeconfig names."""

    client_ca_file: Location | None = Field(
        default=None,
        description="Client certificates signed by this CA (PEM) are accepted too: the common name "
        "is the user, organizations are groups.",
    )
    token_file: Location | None = Field(
        default=None,
        description='More bearer tokens, one a line, as upstream: token,user,uid,"group1,group2".',
    )
    service_account_key_files: tuple[Location, ...] = Field(
        default=(),
        description="More keys (PEM) whose service account tokens are accepted: to change the key, "
        "name the old one here until its last token has expired.",
    )
    bootstrap_tokens: bool = Field(
        default=True,
        description="Whether Secrets of type bootstrap.kubernetes.io/token in kube-system let in, "
        "as machines do that join a cluster.",
    )
    anonymous: bool = Field(
        default=True,
        description="Whether requests without credentials are served as system:anonymous, which "
        "may ask for health and version; else they are refused.",
    )
    authentication_config: Location | None = Field(
        default=None,
        description="An AuthenticationConfiguration (apiserver.config.k8s.io/v1): OpenID issuers "
        "whose tokens are accepted, and what anonymous requests may ask for. The issuers are those "
        "of the file as it is; the rest counts from the start.",
    )
    oidc_issuer_url: str | None = Field(
        default=None,
        description="Accept the tokens of this one OpenID issuer, as upstream's flags of that "
        "name; not together with authentication_config.",
    )
    oidc_client_id: str | None = Field(default=None, description="Whom its tokens must be for.")
    oidc_username_claim: str = Field(default="sub", description="The claim that names the user.")
    oidc_username_prefix: str | None = Field(
        default=None,
        description="What is put before it. Unset: the issuer's URL and #, but nothing before an "
        'email; "-": nothing.',
    )
    oidc_groups_claim: str | None = Field(default=None, description="The claim of its groups.")
    oidc_groups_prefix: str = Field(default="", description="What is put before each of them.")
    oidc_ca_file: Location | None = Field(
        default=None, description="Certificates (PEM) that the issuer's server is checked by."
    )
    oidc_required_claims: dict[str, str] = Field(
        default_factory=dict, description="Claims that a token must have, with their values."
    )

    authorization_config: Location | None = Field(
        default=None,
        description="An AuthorizationConfiguration (apiserver.config.k8s.io/v1): who is asked what "
        "users may do, in order, webhooks among them. It counts soon after the file has changed.",
    )
    authorization_mode: Names = Field(
        default=(),
        description="Who is asked instead, in order, of Node, RBAC, Webhook, AlwaysAllow and "
        "AlwaysDeny. Unset: Node and RBAC, and a webhook if one is named.",
    )
    authorization_webhook_config_file: Location | None = Field(
        default=None,
        description="A kubeconfig that names a server which is asked by a SubjectAccessReview "
        "where the mode has Webhook.",
    )

    @model_validator(mode="after")
    def _issuers_are_named_once(self) -> Self:
        if self.oidc_issuer_url is None:
            return self
        if self.authentication_config is not None:
            raise ValueError("oidc_issuer_url and authentication_config are both set")
        if not self.oidc_client_id:
            raise ValueError("oidc_client_id must be set with oidc_issuer_url")
        return self

    @model_validator(mode="after")
    def _authorizers_are_named_once(self) -> Self:
        modes, file = self.authorization_mode, self.authorization_webhook_config_file
        if self.authorization_config is not None and (modes or file is not None):
            raise ValueError(
                "authorization_config is set, and so is authorization_mode or "
                "authorization_webhook_config_file"
            )
        if modes and ("Webhook" in modes) is not (file is not None):
            raise ValueError(
                "authorization_mode has Webhook if and only if authorization_webhook_config_file "
                "is set"
            )
        return self


class AdmissionSection(Section):
    """Which admission plugins look at writes, by upstream's names."""

    enable_plugins: Names = Field(
        default=(), description="Plugins that run besides those that are on by default."
    )
    disable_plugins: Names = Field(
        default=(), description="Plugins that do not run though they are on by default."
    )
    control_config_file: Location | None = Field(
        default=None,
        description="An AdmissionConfiguration of apiserver.config.k8s.io/v1: what it says of "
        "EventRateLimit, ImagePolicyWebhook, PodNodeSelector, PodSecurity and "
        "PodTolerationRestriction counts.",
    )


class AuditSection(Section):
    """What is put on record of requests; off unless both a policy and a log are named."""

    policy_file: Location | None = Field(
        default=None, description="A Policy of audit.k8s.io/v1: which requests, and how much."
    )
    log_path: Location | None = Field(
        default=None,
        description="Where events are written, a JSON object a line; each further worker adds its "
        "number to the name.",
    )
    log_mib_max: int = Field(default=100, ge=1, description="A larger log is set aside.")
    log_backups_max: int = Field(
        default=10, ge=0, description="How many of those stay; 0 is all of them."
    )
    log_age_days_max: int = Field(
        default=0, ge=0, description="For how many days they stay; 0 is for ever."
    )
