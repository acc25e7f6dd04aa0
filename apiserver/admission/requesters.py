"""What the server writes into a new object about who made it, whatever its author writes there.

No plugin: upstream does this when it prepares the object, after all admission.
"""

from __future__ import annotations

from apiserver.authn import User
from kube.json_types import JsonObject

SIGNING_REQUESTS = "certificates.k8s.io/certificatesigningrequests"


def name_requester(user: User, obj: JsonObject) -> None:
    """Let a CertificateSigningRequest say who made it, in place."""
    spec = obj["spec"]
    spec["username"] = user.name
    spec["groups"] = list(user.groups)
    for key, value in (("uid", user.uid), ("extra", user.extra)):
        if value:
            spec[key] = value
        else:
            spec.pop(key, None)
