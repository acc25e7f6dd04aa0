"""What a list reads: the chosen objects in chunks, and what its metadata says of them.

Of a list in pages, what follows is known when the page's last chunk has been given out.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeVar

from apiserver.custom.resource import CustomResource
from apiserver.resources import Resource
from apiserver.verbs.plan import Plan
from apiserver.verbs.selection import Selection
from apiserver.verbs.tokens import encode_token
from kube.json_types import JsonObject
from storage.record import Record
from storage.scan import Query, Scan
from storage.store_view import StoreView

_T = TypeVar("_T")


class ListSource:
    """The objects of one list; `bodies` or `records` is to be read once.

    Attributes:
        resource: whose objects they are.
        revision: that it shows, once the first chunk was read.
        limit: how many objects the list may have, 0: all.
    """

    def __init__(self, store: StoreView, resource: Resource, chosen: Selection, plan: Plan) -> None:
        self._store = store
        self.resource = resource
        self._chosen = chosen
        self._plan = plan
        self._more = False
        self._last: tuple[str, str] | None = None
        self._remaining: int | None = None
        self.revision = 0
        self.limit = plan.limit

    def again(self, returned: int | None = None) -> ListSource:
        """Return another one that reads the same objects, as they were, once this was read.

        Args:
            returned: how many they were, if the metadata is to be the other's.
        """
        left = 1 if returned is None else returned + (self._remaining or 0)
        plan = self._plan._replace(revision=self.revision, left=left)
        return ListSource(self._store, self.resource, self._chosen, plan)

    def bodies(self, *, strips: bool) -> Generator[list[bytes], None, None]:
        """Yield stored bodies in chunks, which may be empty.

        Args:
            strips: leave out the kind and apiVersion they begin with.

        Raises:
            StorageError: as `storage.scan.Scan`.
        """
        strip = self.resource.item_strip if strips else 0
        if not self.is_scanned or self.resource.info.custom:
            for records in self.records():
                yield [record.body[strip:] for record in records]
            return
        yield from self._scanned(self._store.scan_bodies(self.query(), strip=strip))

    def records(self) -> Generator[list[Record], None, None]:
        """Yield the chosen records in chunks, as the resource shows them; raises as `bodies`.

        Where a webhook may have to convert them, they are as they are stored, and those that are
        not chosen after all are among them: see `brought`.
        """
        resource = self.resource
        if not isinstance(resource, CustomResource) or resource.needs_calls:
            yield from self._stored()
            return
        with closing(self._stored()) as chunks:
            for chunk in chunks:
                yield resource.shown_matching(chunk, self._chosen.match)

    async def brought(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return those of a chunk of `records` that are chosen, as the resource shows them.

        Raises:
            StatusError: 500, a webhook failed to convert them.
        """
        resource = self.resource
        if isinstance(resource, CustomResource) and resource.needs_calls:
            return await resource.brought_matching(records, self._chosen.match)
        return records

    def _stored(self) -> Generator[list[Record], None, None]:
        chosen, store = self._chosen, self._store
        if self.is_scanned:
            yield from self._scanned(store.scan(self.query()))
            return
        self.revision = self._plan.revision or store.current_revision(self.resource.storage)
        if chosen.empty:
            return
        if chosen.name is not None and chosen.is_single(namespaced=self.resource.namespaced):
            yield self._named(chosen.namespace or "", chosen.name)
            return
        yield from self._picked()

    @property
    def is_scanned(self) -> bool:
        """Whether storage finds just what is chosen."""
        return not (self._chosen.by_key or self._chosen.empty)

    def query(self) -> Query:
        """Return what storage is asked for."""
        chosen, plan = self._chosen, self._plan
        return Query(
            self.resource.storage,
            chosen.namespace,
            start_after=plan.after,
            revision=plan.revision,
            limit=plan.limit or None,
            match=chosen.match,
            index=chosen.by_index,
        )

    def _scanned(self, scan: Scan[_T]) -> Generator[list[_T], None, None]:
        with closing(scan):
            self.revision = scan.revision
            for chunk in scan:
                is_full = 0 < self.limit <= scan.returned
                if is_full:
                    self._note_rest(scan)
                yield chunk
                if is_full:
                    return

    def _note_rest(self, scan: Scan[Any]) -> None:
        self._last = scan.last_key
        self._more = scan.has_more()
        if self._more and not self._chosen.filtered:
            left = self._plan.left
            # Counting takes as long as there are objects; only the first page has to.
            self._remaining = scan.remaining() if left is None else max(1, left - scan.returned)

    def _picked(self) -> Generator[list[Record], None, None]:
        """Yield what conditions on names and namespaces leave, whole pages of it."""
        taken = 0
        with closing(self._store.scan(replace(self.query(), limit=None))) as scan:
            self.revision = scan.revision
            for chunk in scan:
                found = [r for r in chunk if self._chosen.admits(r.name, r.namespace)]
                if self.limit and taken + len(found) > self.limit:
                    found = found[: self.limit - taken]
                    self._more = True
                taken += len(found)
                if found:
                    self._last = (found[-1].namespace, found[-1].name)
                yield found
                if self._more:
                    return

    def _named(self, namespace: str, name: str) -> list[Record]:
        record = self._store.get(self.resource.storage, namespace, name, self._plan.revision)
        if record is None or not self._chosen.admits(name, namespace):
            return []
        if self._chosen.match is None or self._chosen.match(record.meta):
            return [record]
        return []

    def meta(self) -> JsonObject:
        """Return the list's metadata."""
        meta: JsonObject = {"resourceVersion": str(self.revision)}
        if self._more and self._last is not None:
            # What was taken up again inconsistently goes on at the revision of that.
            meta["continue"] = encode_token(
                self.revision,
                self._last,
                all_namespaces=self._plan.all_namespaces,
                left=self._remaining,
            )
            if self._remaining:
                meta["remainingItemCount"] = self._remaining
        return meta
