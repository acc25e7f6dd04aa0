"""The settings of NATS."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from ultraplane.sections import Location, Section


class NatsSection(Section):
    """How NATS is used, if `journal.address` is one of NATS."""

    replicas: Literal[1, 3, 5] = Field(
        default=1,
        description="On how many servers each stream is kept, when it is made: 3 outlive any one.",
    )
    prefix: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = Field(
        default="ultraplane",
        description="Streams and subjects begin with it; clusters on the same servers need others.",
    )
    stream_mib_max: int = Field(
        default=0,
        ge=0,
        description="The largest a partition's log may grow, when it is made; writes are refused "
        "then. 0 leaves it to the account's limits.",
    )
    user: str | None = Field(default=None, description="Who we are, with password_file.")
    password_file: Location | None = Field(default=None, description="The user's password.")
    token_file: Location | None = Field(default=None, description="A token instead.")
    nkey_seed_file: Location | None = Field(default=None, description="A user's nkey seed instead.")
    credentials_file: Location | None = Field(
        default=None, description="A credentials file (JWT and seed) instead."
    )
    tls_ca_file: Location | None = Field(
        default=None, description="Who signs the servers' certificates (PEM); demands TLS."
    )
    tls_certificate_file: Location | None = Field(
        default=None, description="Our certificate (PEM), if the servers want one."
    )
    tls_key_file: Location | None = Field(default=None, description="Its private key (PEM).")

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("user and password_file go together")
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file go together")
        ways = (self.user, self.token_file, self.nkey_seed_file, self.credentials_file)
        if sum(way is not None for way in ways) > 1:
            raise ValueError("there is more than one way to say who we are")
        return self
