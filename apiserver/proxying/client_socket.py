"""A client's websocket that ends here, rather than at a backend."""

from __future__ import annotations

from collections.abc import AsyncIterator

from apiserver.exchange import Exchange
from apiserver.proxying import websocket
from apiserver.proxying.forward import first_header, is_upgrade
from apiserver.proxying.takeover import TakenOver
from apiserver.proxying.websocket import CloseCode, Frame, Opcode, ProtocolFault
from apiserver.proxying.wire import CHUNK_BYTES
from kube import status as st

_PROTOCOLS = b"sec-websocket-protocol"


def offered(exchange: Exchange) -> list[str]:
    """Return the subprotocols that a request for a websocket offers; none if it is none."""
    if not is_upgrade(exchange) or first_header(exchange, b"upgrade").lower() != b"websocket":
        return []
    values = [value for name, value in exchange.scope["headers"] if name == _PROTOCOLS]
    return websocket.offered_protocols(values)


def check_handshake(exchange: Exchange) -> None:
    """Refuse what is no request for a websocket.

    Raises:
        StatusError: 400.
    """
    if exchange.method != "GET":
        raise st.bad_request("websocket: request method is not GET")
    if first_header(exchange, b"sec-websocket-version") != websocket.VERSION:
        raise st.bad_request("websocket: unsupported version: 13 not found in its header")
    if not websocket.is_key(first_header(exchange, b"sec-websocket-key")):
        raise st.bad_request("websocket: not a websocket handshake: its key is no 16 bytes")


class ClientSocket:
    """The client's side of a websocket, taken over. One task reads; several may write."""

    def __init__(self, exchange: Exchange, protocol: str) -> None:
        assert exchange.connection is not None
        self._client = TakenOver(exchange.connection)
        exchange.code = 101
        key = first_header(exchange, b"sec-websocket-key")
        self._client.writer.write(websocket.accept_head(key, protocol))
        self._is_closed = False

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield the client's data frames until it closes, or errs."""
        decoder = websocket.Decoder()
        try:
            while data := await self._client.reader.read(CHUNK_BYTES):
                for frame in decoder.feed(data):
                    match frame.opcode:
                        case Opcode.PING:
                            await self._client.write(websocket.encode(Opcode.PONG, frame.data))
                        case Opcode.CLOSE:
                            self.close()
                            return
                        case Opcode.PONG:
                            pass
                        case _:
                            yield frame
        except ProtocolFault as fault:
            self.close(fault.code, str(fault))
        except (OSError, RuntimeError):
            return

    async def send(self, data: bytes, opcode: Opcode = Opcode.BINARY) -> bool:
        """Send a message, waiting while the client is slow; False: it has gone."""
        try:
            await self._client.write(websocket.encode(opcode, data))
        except (OSError, RuntimeError):
            return False
        return True

    def close(self, code: CloseCode = CloseCode.NORMAL, text: str = "") -> None:
        """Close, once the client has taken what was written."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._client.writer.transport.is_closing():
            self._client.writer.write(websocket.encode_close(code, text))
        self._client.close()
