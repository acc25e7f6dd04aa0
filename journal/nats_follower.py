"""Following one stream: every message once and in order, from the noted state on.

A push consumer without acknowledgements delivers; whatever looks wrong with it (a gap, a silence, a
lost link) ends it, and the next one begins right behind what was folded. What the log itself has
lost is never passed over: messages that were purged are replaced by a noted state, and anything
else that is missing stops the stream.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from nats.aio.msg import Msg

from journal.errors import CorruptStream, JournalError, UnsupportedFormat
from journal.nats_fold import FORMAT_VERSION, Fold
from journal.nats_link import ApiRefusal, NatsLink, Unreachable, is_missing, stay_cancelled
from journal.nats_names import key_and_head, place_of
from journal.nats_notes import noted_position, prepare_notes, read_note, write_note
from journal.nats_options import NatsOptions
from journal.nats_stream import StreamState

_log = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 0.5
SILENCE_SECONDS: Final = 2.0
RETRY_SECONDS: Final = (0.05, 1.0)
DUPLICATES_SECONDS: Final = 30
"""How long servers remember ids. The log decides; this keeps most repetitions out of it."""
NOTE_PAUSE_SECONDS: Final = 5.0
MISSING_COUNT_MAX: Final = 5
MESSAGE_BYTES: Final = 200
"""What a stored message has beside its body."""
_NANO: Final = 1_000_000_000


class Follower:
    """Keeps one stream open and folded.

    Args of the constructor:
        state: the stream's.
        options: of the journal.
        link: waits for the link and returns it.
    """

    def __init__(
        self,
        state: StreamState,
        options: NatsOptions,
        link: Callable[[], Awaitable[NatsLink]],
    ) -> None:
        self._state = state
        self._options = options
        self._link = link
        self._created: str | None = None
        self._deliveries = 0
        self._generation = 0
        self._heard_s = 0.0
        self._missing = 0
        self._loop = asyncio.get_running_loop()

    async def run(self) -> None:
        """Follow until the stream fails for good, or cancelled."""
        failures = 0
        while self._state.failure is None:
            stay_cancelled()
            link = await self._link()
            try:
                await self._follow(link)
                failures = 0
            except Unreachable as error:
                self._state.problem = str(error)
                if failures == 0:
                    _log.warning("stream %s cannot be followed: %s", self._state.name, error)
                least, most = RETRY_SECONDS
                pause_s: float = min(most, least * 2 ** min(failures, 8))
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
                failures += 1
            except JournalError as error:
                _log.critical("stream %s: %s", self._state.name, error)
                self._state.fail(error)

    async def note(self) -> None:
        """Note the state from time to time, unless somebody else has."""
        state, every = self._state, self._options.note_every
        while state.failure is None:
            # Not all at once: whoever comes first saves the others the work.
            await asyncio.sleep(NOTE_PAUSE_SECONDS * random.uniform(0.5, 1.5))
            if state.fold is None or not (
                state.is_full or state.position - state.noted_position >= every
            ):
                continue
            link = await self._link()
            try:
                if state.is_full:
                    await self._look(link)  # others may have made room
                noted = await noted_position(link, self._options, state.name)
                if state.position - noted >= every:
                    noted = await write_note(link, self._options, state.name, state.fold)
            except (Unreachable, JournalError) as error:
                _log.warning("the state of %s is not noted: %s", state.name, error)
                continue
            state.noted_position = max(state.noted_position, noted)

    async def purge(self) -> None:
        """Give the space of trimmed messages back; a note behind them comes first.

        Raises:
            ApiRefusal, Unreachable: that is for the next trim.
        """
        state = self._state
        fold = state.fold
        assert fold is not None
        place = fold.marks[0].position
        link = await self._link()
        info = await link.api(f"STREAM.INFO.{state.log_name}", {})
        if info["state"]["first_seq"] > place:
            return
        # Of what is folded now: all marks from `place` on are in it.
        noted = await write_note(link, self._options, state.name, fold)
        state.noted_position = max(state.noted_position, noted)
        await link.api(f"STREAM.PURGE.{state.log_name}", {"seq": place + 1})
        await self._look(link)

    async def _follow(self, link: NatsLink) -> None:
        state = self._state
        info = await self._look(link)
        if state.fold is None or info["state"]["first_seq"] > state.position + 1:
            await self._open(link, info)
        if info["state"]["last_seq"] < state.position:
            # A new leader may not know all yet; a log that was wiped never will.
            raise Unreachable(
                f"{state.log_name} ends at {info['state']['last_seq']}, but {state.position} was "
                "seen: its servers have not caught up, or it was wiped or is another one"
            )
        self._generation += 1
        generation = self._generation
        inbox, subscription = await link.subscribe(partial(self._on_message, generation, link))
        try:
            state.restart.clear()
            assert state.fold is not None
            state.recent.restart(state.fold.last + 1)
            state.has_bodies = state.wants_bodies
            self._deliveries, self._heard_s = 0, self._loop.time()
            consumer = await self._create_consumer(link, inbox)
            state.problem = ""
            await self._wait(link)
            self._generation += 1
            if not link.lost.done():
                await link.send(
                    f"$JS.API.CONSUMER.DELETE.{state.log_name}.{consumer}", reply="_INBOX.none"
                )
        finally:
            await link.unsubscribe(subscription)

    async def _wait(self, link: NatsLink) -> None:
        """Return when the consumer is of no more use."""
        state = self._state
        while not state.restart.is_set() and not link.lost.done() and state.failure is None:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await state.restart.wait()
            except TimeoutError:
                if self._loop.time() - self._heard_s > SILENCE_SECONDS:
                    raise Unreachable("its consumer has fallen silent") from None

    async def _look(self, link: NatsLink) -> dict[str, Any]:
        """Return the stream's facts; make it if there never was one."""
        state, options = self._state, self._options
        wanted = f"ultraplane {FORMAT_VERSION} {options.key_window} {options.mark_every}"
        try:
            info = await link.api(f"STREAM.INFO.{state.log_name}", {})
        except ApiRefusal as error:
            if not is_missing(error):
                raise
            if self._created is not None:
                raise Unreachable(f"{state.log_name} is gone") from error
            await prepare_notes(link, options)
            info = await link.api(f"STREAM.CREATE.{state.log_name}", self._config(wanted))
        if info["config"].get("description") != wanted:
            raise UnsupportedFormat(
                f"{state.log_name} is {info['config'].get('description')!r}, not {wanted!r}"
            )
        if self._created is not None and info["created"] != self._created:
            raise CorruptStream(state.log_name, 0, "it was deleted and made anew")
        self._created = info["created"]
        state.stored_bytes = info["state"]["bytes"]
        return info

    def _config(self, description: str) -> dict[str, Any]:
        state, options = self._state, self._options
        return {
            "name": state.log_name,
            "description": description,
            "subjects": [state.subject],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "num_replicas": options.replicas,
            "max_bytes": options.stream_bytes_max or -1,
            "max_msgs": -1,
            "max_age": 0,
            "max_consumers": -1,
            "max_msgs_per_subject": -1,
            "duplicate_window": DUPLICATES_SECONDS * _NANO,
            "deny_delete": True,
        }

    async def _open(self, link: NatsLink, info: dict[str, Any]) -> None:
        """Begin with the newest noted state, or at the log's beginning."""
        state, options = self._state, self._options
        await prepare_notes(link, options)
        fold = await read_note(link, options, state.name)
        if fold is None or fold.position < state.position:
            fold = state.fold or Fold(options.key_window, options.mark_every)
        first = info["state"]["first_seq"]
        if first > fold.position + 1:
            # Somebody may just have purged, which the note we read does not reach.
            self._missing += 1
            text = f"it begins at {first}, and its state is noted up to {fold.position} only"
            if self._missing > MISSING_COUNT_MAX:
                raise CorruptStream(state.log_name, fold.position, text)
            raise Unreachable(text)
        self._missing = 0
        if fold is not state.fold:
            state.open(fold)

    async def _create_consumer(self, link: NatsLink, inbox: str) -> str:
        state = self._state
        config = {
            "deliver_subject": inbox,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": state.position + 1,
            "ack_policy": "none",
            "replay_policy": "instant",
            "idle_heartbeat": int(HEARTBEAT_SECONDS * _NANO),
            "flow_control": True,
            "headers_only": not state.has_bodies,
            "mem_storage": True,
            "num_replicas": 1,
        }
        request = {"stream_name": state.log_name, "config": config}
        answer = await link.api(f"CONSUMER.CREATE.{state.log_name}", request)
        return str(answer["name"])

    async def _on_message(self, generation: int, link: NatsLink, message: Msg) -> None:
        if generation != self._generation or self._state.restart.is_set():
            return
        self._heard_s = self._loop.time()
        state = self._state
        try:
            if message.subject != state.subject:
                await self._on_control(message, link)
                return
            place = place_of(message.reply)
            if place.delivery != self._deliveries + 1:
                state.restart.set()
                return
            if place.position != state.position + 1:
                self._missing += 1
                if self._missing > MISSING_COUNT_MAX:
                    raise CorruptStream(state.log_name, state.position + 1, "messages are missing")
                state.restart.set()
                return
            self._deliveries += 1
            self._missing = 0
            if self._options.stream_bytes_max:
                body_bytes = (message.headers or {}).get("Nats-Msg-Size", len(message.data))
                state.stored_bytes += int(body_bytes) + MESSAGE_BYTES
            key, head = key_and_head(message)
            state.take(place.position, key, head, place.server_ms, message.data)
        except Unreachable:
            state.restart.set()
        except JournalError as error:
            _log.critical("stream %s: %s", state.name, error)
            state.fail(error)

    async def _on_control(self, message: Msg, link: NatsLink) -> None:
        """A heartbeat, or a question whether we keep up."""
        headers = message.headers or {}
        if message.reply:
            await link.send(message.reply)
        stalled = headers.get("Nats-Consumer-Stalled")
        if stalled:
            await link.send(stalled)
        last = headers.get("Nats-Last-Consumer")
        if last is not None and int(last) != self._deliveries:
            self._state.restart.set()
