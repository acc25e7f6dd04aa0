"""Bearer tokens in the subprotocols of a websocket, as browsers have no other place for them.

As upstream: a client offers `base64url.bearer.authorization.k8s.io.<token>`, the token in base64url
without padding, beside the subprotocol that it means to speak. Nobody behind sees the token.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from apiserver.exchange import Exchange
from kube import status as st

PREFIX: Final = b"base64url.bearer.authorization.k8s.io."
_HEADER: Final = b"sec-websocket-protocol"


def take_token(exchange: Exchange) -> bytes:
    """Take the token out of a request's subprotocols; return b"" if there is none.

    Raises:
        StatusError: 401, it is malformed, there are several, or there is nothing beside it.
    """
    headers: list[tuple[bytes, bytes]] = list(exchange.scope["headers"])
    offered = [
        part.strip() for key, value in headers if key == _HEADER for part in value.split(b",")
    ]
    tokens = [part.removeprefix(PREFIX) for part in offered if part.startswith(PREFIX)]
    if not tokens:
        return b""
    others = [part for part in offered if part and not part.startswith(PREFIX)]
    if len(tokens) > 1 or not others:
        raise st.unauthorized()
    try:
        token = base64.b64decode(
            tokens[0] + b"=" * (-len(tokens[0]) % 4), altchars=b"-_", validate=True
        )
        token.decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise st.unauthorized() from error
    kept = [(key, value) for key, value in headers if key != _HEADER]
    exchange.scope["headers"] = [*kept, (_HEADER, b", ".join(others))]
    return token
