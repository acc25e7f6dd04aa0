"""What extension API servers are told to believe: a ConfigMap that all of them may read.

As upstream's cluster authentication trust: the CAs of all servers are in it, as one may have been
set up with others, and those whose time has not come to an end stay.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Final

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from apiserver.bootstrap import ServerItself
from apiserver.options import PLAIN_WRITE
from apiserver.server import Server
from apiserver.verbs.create import create_object
from apiserver.verbs.update import Change, Part
from kube import status as st
from kube.json_types import JsonObject
from storage.record import Record

NAMESPACE: Final = "kube-system"
NAME: Final = "extension-apiserver-authentication"
_CLIENT_CA: Final = "client-ca-file"
_PROXY_CA: Final = "requestheader-client-ca-file"
_NAMES: Final = "requestheader-allowed-names"
_HEADERS: Final = {
    "requestheader-extra-headers-prefix": ["X-Remote-Extra-"],
    "requestheader-group-headers": ["X-Remote-Group"],
    "requestheader-uid-headers": ["X-Remote-Uid"],
    "requestheader-username-headers": ["X-Remote-User"],
}
_CERTIFICATES_MAX: Final = 100


async def sync_trust(server: Server) -> None:
    """Write what this server is to be believed by, beside what others have written.

    Raises:
        StatusError: the store is not to be written to now.
    """
    resource = server.catalog.by_storage["configmaps"]
    wanted = _wanted(server)
    record = server.peek(resource, NAMESPACE, NAME)
    try:
        if record is None:
            obj = {"metadata": {"name": NAME}, "data": _merged({}, wanted, server.clock.now_s())}
            await create_object(server, ServerItself(), resource, NAMESPACE, obj, PLAIN_WRITE)
            return
        data = orjson.loads(record.body).get("data") or {}
        merged = _merged(data, wanted, server.clock.now_s())
        if merged == data:
            return

        def produce(_record: Record, old: JsonObject) -> JsonObject:
            new: JsonObject = orjson.loads(orjson.dumps(old))
            new["data"] = _merged(new.get("data") or {}, wanted, server.clock.now_s())
            return new

        change = Change(server, ServerItself(), resource, produce, PLAIN_WRITE, Part.MAIN)
        await change.apply(NAMESPACE, NAME)
    except st.StatusError as error:
        # Another server was quicker: the next round sees what it has made of it.
        if error.reason not in ("AlreadyExists", "Conflict", "NotFound"):
            raise


def _wanted(server: Server) -> dict[str, str]:
    settings = server.settings
    wanted = {_CLIENT_CA: _read(settings.client_ca_file)}
    aggregation = settings.aggregation
    if aggregation.client_ca_file is not None:
        wanted[_PROXY_CA] = _read(aggregation.client_ca_file)
        wanted[_NAMES] = _shown(list(aggregation.client_names))
        wanted |= {key: _shown(names) for key, names in _HEADERS.items()}
    return {key: value for key, value in wanted.items() if value}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _shown(names: list[str]) -> str:
    return orjson.dumps(names).decode()


def _merged(data: JsonObject, wanted: dict[str, str], now_s: float) -> dict[str, str]:
    merged = dict(data)
    for key, value in wanted.items():
        before = data.get(key) or ""
        if key in (_CLIENT_CA, _PROXY_CA):
            merged[key] = _certificates(before, value, now_s)
        else:
            known = _names(before)
            # No name at all means any, and must not be narrowed by another server's.
            either_any = key == _NAMES and key in data and (not known or not _names(value))
            union = [] if either_any else list(dict.fromkeys([*known, *_names(value)]))
            merged[key] = _shown(union)
    return merged


def _names(text: str) -> list[str]:
    try:
        found = orjson.loads(text) if text else []
    except ValueError:
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def _certificates(before: str, added: str, now_s: float) -> str:
    """Return both bundles as one: ours first, each once, without those whose time is over."""
    now = datetime.datetime.fromtimestamp(now_s, datetime.UTC)
    found: dict[str, None] = {}
    for bundle in (before, added):
        try:
            certificates = x509.load_pem_x509_certificates(bundle.encode()) if bundle else []
        except ValueError:
            continue
        for one in certificates[:_CERTIFICATES_MAX]:
            if one.not_valid_after_utc > now:
                found[one.public_bytes(Encoding.PEM).decode()] = None
    return "".join(list(found)[-_CERTIFICATES_MAX:])
