"""The settings of whom the API server passes requests on to: kubelets and extension API servers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ultraplane.sections import Location, Section

AddressType = Literal["Hostname", "InternalDNS", "InternalIP", "ExternalDNS", "ExternalIP"]


class KubeletSection(Section):
    """How the API server speaks to kubelets: for logs, exec, attach, port-forward and proxy."""

    certificate_authority: Location | None = Field(
        default=None,
        description="A CA (PEM) that kubelets' certificates must be signed by, as upstream's "
        "--kubelet-certificate-authority. Unset: they are not checked, as kubelets sign theirs "
        "themselves unless told otherwise.",
    )
    client_certificate: Location | None = Field(
        default=None,
        description="What is shown to kubelets (PEM); unset: one of the cluster's CA, of user "
        "kube-apiserver-kubelet-client in system:masters.",
    )
    client_key: Location | None = Field(default=None, description="Its private key (PEM).")
    preferred_address_types: Annotated[tuple[AddressType, ...], Field(min_length=1)] = Field(
        default=("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"),
        description="Of a node's addresses, the first kind that it has is used.",
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.client_certificate is None) != (self.client_key is None):
            raise ValueError("client_certificate and client_key must be set together")
        return self


class AggregationSection(Section):
    """How the API server speaks to extension API servers, which APIServices name."""

    proxy_client_cert_file: Location | None = Field(
        default=None,
        description="What is shown to them (PEM), as upstream's --proxy-client-cert-file; unset: "
        "one of a CA made for that alone.",
    )
    proxy_client_key_file: Location | None = Field(
        default=None, description="Its private key (PEM)."
    )
    requestheader_client_ca_file: Location | None = Field(
        default=None,
        description="The CA (PEM) that it is signed by: they are told to believe it, in the "
        "ConfigMap extension-apiserver-authentication.",
    )
    requestheader_allowed_names: tuple[str, ...] = Field(
        default=("front-proxy-client",),
        description="The common names that they are told to believe; none: any of that CA.",
    )

    @model_validator(mode="after")
    def _all_or_none(self) -> Self:
        files = (
            self.proxy_client_cert_file,
            self.proxy_client_key_file,
            self.requestheader_client_ca_file,
        )
        if any(one is None for one in files) and any(one is not None for one in files):
            raise ValueError(
                "proxy_client_cert_file, proxy_client_key_file and requestheader_client_ca_file "
                "must be set together"
            )
        return self
