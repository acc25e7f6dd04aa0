"""What others need to check service account tokens: the issuer's OpenID documents."""

from __future__ import annotations

from typing import Final

import orjson
from fastapi import FastAPI, Response

from apiserver.signing_keys import SigningKeys

CONFIGURATION_PATH: Final = "/.well-known/openid-configuration"
KEYS_PATH: Final = "/openid/v1/jwks"
_KEYS_TYPE: Final = "application/jwk-set+json"
_HEADERS: Final = {"cache-control": "public, max-age=3600"}


def add_issuer_documents(app: FastAPI, keys: SigningKeys, issuer: str, address: str) -> None:
    """Serve them; `address` is the host and port at which this server is reached."""
    configuration = orjson.dumps(
        {
            "issuer": issuer,
            "jwks_uri": f"https://{address}{KEYS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted(
                {key["alg"] for key in keys.jwks()["keys"]}
            ),
        }
    )
    jwks = orjson.dumps(keys.jwks())

    @app.get(CONFIGURATION_PATH)
    @app.get(CONFIGURATION_PATH + "/")
    async def openid_configuration() -> Response:
        return Response(configuration, 200, _HEADERS, "application/json")

    @app.get(KEYS_PATH)
    @app.get(KEYS_PATH + "/")
    async def openid_keys() -> Response:
        return Response(jwks, 200, _HEADERS, _KEYS_TYPE)
