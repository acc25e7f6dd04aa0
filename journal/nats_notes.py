"""Noted states of a stream: what a process starts from instead of the log's beginning.

A note is a `Fold`, encoded, in parts that fit into messages, and then a head that names the parts;
only the head makes it count. Writers do not disturb each other: whichever head comes last is taken,
and each is as good as any other. Trimmed messages are purged only when a note behind them is there.
"""

from __future__ import annotations

import base64
import logging
from typing import Any, Final

import orjson

from journal.nats_fold import Fold
from journal.nats_link import ApiRefusal, NatsLink, Unreachable, is_missing
from journal.nats_names import base_name, base_subject
from journal.nats_options import NatsOptions

_log = logging.getLogger(__name__)

PART_BYTES: Final = 384 << 10
PARTS_KEPT: Final = 32
"""Of a stream: several notes, so that one being read is not overtaken at once."""
_NO_STREAM: Final = 10059


async def prepare_notes(link: NatsLink, options: NatsOptions) -> None:
    """Make the JetStream stream of all notes, unless it is there.

    Raises:
        ApiRefusal, Unreachable: it can't be made.
    """
    name = base_name(options.prefix)
    try:
        await link.api(f"STREAM.INFO.{name}", {})
    except ApiRefusal as error:
        if not is_missing(error):
            raise
        config = {
            "name": name,
            "subjects": [f"{options.prefix}.base.>"],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "num_replicas": options.replicas,
            "max_msgs_per_subject": PARTS_KEPT,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_age": 0,
            "max_consumers": -1,
        }
        await link.api(f"STREAM.CREATE.{name}", config)


async def read_note(link: NatsLink, options: NatsOptions, stream: str) -> Fold | None:
    """Return the newest noted state, None if there never was one.

    Raises:
        CorruptStream, UnsupportedFormat: it can't be used.
        ApiRefusal, Unreachable: it can't be read now.
    """
    name, subject = base_name(options.prefix), base_subject(options.prefix, stream)
    head = await _get(link, name, {"last_by_subj": f"{subject}.head"})
    if head is None:
        return None
    parts = []
    for place in orjson.loads(head)["parts"]:
        part = await _get(link, name, {"seq": place})
        if part is None:
            raise Unreachable("the noted state was overtaken by newer ones")
        parts.append(part)
    return Fold.decode(b"".join(parts), options.key_window, options.mark_every)


async def noted_position(link: NatsLink, options: NatsOptions, stream: str) -> int:
    """Return how far the newest noted state reaches, 0 without one."""
    subject = base_subject(options.prefix, stream)
    head = await _get(link, base_name(options.prefix), {"last_by_subj": f"{subject}.head"})
    return 0 if head is None else int(orjson.loads(head)["position"])


async def write_note(link: NatsLink, options: NatsOptions, stream: str, fold: Fold) -> int:
    """Note a state; return its position once that is durable.

    Raises:
        ApiRefusal, Unreachable: it is not noted.
    """
    subject, position = base_subject(options.prefix, stream), fold.position
    data = fold.encode()
    size = min(PART_BYTES, link.max_payload_bytes - 1024)
    parts = []
    for start in range(0, len(data), size):
        parts.append(await link.store(f"{subject}.part", data[start : start + size]))
    if len(parts) > PARTS_KEPT // 2:
        _log.warning("the noted state of %s has %d parts", stream, len(parts))
    head = orjson.dumps({"position": position, "parts": parts})
    await link.store(f"{subject}.head", head)
    return position


async def _get(link: NatsLink, name: str, which: dict[str, Any]) -> bytes | None:
    try:
        answer = await link.api(f"STREAM.MSG.GET.{name}", which)
    except ApiRefusal as error:
        if is_missing(error) and error.reason != _NO_STREAM:
            return None
        raise
    return base64.b64decode(answer["message"].get("data", ""))
