"""OpenAPI documents of the served API, in the shapes that kubectl and client libraries read.

`OpenApi` gives the documents; `operations` derives what can be done from the registry,
`definitions` what the objects look like, and `rendering` writes either as Swagger 2.0 or
OpenAPI 3.0. `protobuf` is the binary form of the former.
"""

from kube.openapi.custom import CustomKind
from kube.openapi.documents import V2_PROTOBUF_ACCEPTED, V2_PROTOBUF_TYPE, OpenApi

__all__ = ["V2_PROTOBUF_ACCEPTED", "V2_PROTOBUF_TYPE", "CustomKind", "OpenApi"]
