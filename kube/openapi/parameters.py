"""The request parameters of API operations, in groups as operations take them.

Invariant: within a group, and within any union of groups made in `operations`, names are unique
per place. Parameters marked `inline` are written out in each operation of the v2 document, because
kubectl looks for them there without following references.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the path or the query.

    Attributes:
        name: as written in the URL.
        type: string, integer or boolean.
        description: for people.
        place: `query` or `path`; the latter are always required.
        key: names a shared one, where several parameters have the same name.
        inline: never shared by reference.
    """

    name: str
    type: str
    description: str
    place: str = "query"
    key: str = ""
    inline: bool = False

    @property
    def shared_key(self) -> str:
        """The name under which the v2 document shares this parameter."""
        return self.key or self.name


def object_name(kind: str) -> Parameter:
    """Return the path parameter that names an object of `kind`."""
    return Parameter("name", "string", f"name of the {kind}", place="path", inline=True)


NAMESPACE: Final = Parameter("namespace", "string", "the namespace of the objects", place="path")
PROXIED_PATH: Final = Parameter(
    "path", "string", "path to the resource behind the proxy", place="path", key="path-segment"
)
PRETTY: Final = Parameter("pretty", "string", "'true' asks for indented output.")
_DRY_RUN: Final = Parameter(
    "dryRun",
    "string",
    "'All' runs every step of the request but storing its result.",
    inline=True,
)
_FIELD_VALIDATION: Final = Parameter(
    "fieldValidation",
    "string",
    "What to do about unknown and duplicate fields of the body: 'Ignore' drops them silently, "
    "'Warn' (the default) drops them and warns, 'Strict' refuses the request.",
    inline=True,
)
_MANAGER: Final = "Name of the actor making this change, of at most 128 printable characters."
_FIELD_MANAGER: Final = Parameter("fieldManager", "string", _MANAGER)
_PATCH_MANAGER: Final = Parameter(
    "fieldManager", "string", f"{_MANAGER} Required for apply patches.", key="fieldManager-patch"
)
_FORCE: Final = Parameter(
    "force", "boolean", "Lets an apply patch take over fields that others own."
)

WRITE: Final = (_DRY_RUN, _FIELD_MANAGER, _FIELD_VALIDATION)
PATCH: Final = (_DRY_RUN, _PATCH_MANAGER, _FIELD_VALIDATION, _FORCE)
_SELECTION: Final = (
    Parameter(
        "continue",
        "string",
        "The token of the previous answer, to get the next page of the same list.",
    ),
    Parameter("fieldSelector", "string", "Restricts the objects by their fields."),
    Parameter("labelSelector", "string", "Restricts the objects by their labels."),
    Parameter("limit", "integer", "The largest number of objects to return in one page."),
    Parameter(
        "resourceVersion",
        "string",
        "How recent the data must be; see resourceVersionMatch. Unset asks for the latest.",
    ),
    Parameter(
        "resourceVersionMatch",
        "string",
        "How resourceVersion is meant: 'Exact' or 'NotOlderThan'.",
    ),
    Parameter(
        "sendInitialEvents",
        "boolean",
        "Begins a watch with the present state as events, closed by a bookmark that says so.",
    ),
    Parameter("timeoutSeconds", "integer", "How long a list or watch may take."),
)
LIST: Final = (
    Parameter("allowWatchBookmarks", "boolean", "Lets the server send BOOKMARK events."),
    *_SELECTION,
    Parameter("watch", "boolean", "Returns a stream of changes instead of a list."),
)
DELETE: Final = (
    _DRY_RUN,
    Parameter(
        "gracePeriodSeconds",
        "integer",
        "How long the object may take to stop; zero deletes at once. "
        "The type decides when this is unset.",
    ),
    Parameter(
        "orphanDependents",
        "boolean",
        "Deprecated, use propagationPolicy: whether dependents stay.",
    ),
    Parameter(
        "propagationPolicy",
        "string",
        "What becomes of dependents: 'Orphan' leaves them, 'Background' deletes them later, "
        "'Foreground' deletes them first.",
    ),
)
DELETE_COLLECTION: Final = (*DELETE, *_SELECTION)


def _streams(verb: str) -> tuple[Parameter, ...]:
    return (
        Parameter("container", "string", f"The container to {verb}.", key=f"container-{verb}"),
        *(
            Parameter(name, "boolean", f"Whether to connect {name}.")
            for name in ("stderr", "stdin", "stdout")
        ),
        Parameter("tty", "boolean", "Whether to allocate a terminal."),
    )


# What a subresource takes besides the parameters above.
OF_SUBRESOURCE: Final[dict[str, tuple[Parameter, ...]]] = {
    "attach": _streams("attach to"),
    "exec": (
        Parameter("command", "string", "The command to execute, one argument each; no shell."),
        *_streams("execute in"),
    ),
    "log": (
        Parameter("container", "string", "The container to read from.", key="container-log"),
        Parameter("follow", "boolean", "Keeps the stream open for what is yet to be written."),
        Parameter(
            "insecureSkipTLSVerifyBackend",
            "boolean",
            "Does not verify the certificate of the node that has the log.",
        ),
        Parameter("limitBytes", "integer", "The largest number of bytes to return."),
        Parameter("previous", "boolean", "Reads what the terminated container has written."),
        Parameter("sinceSeconds", "integer", "Reads what is at most this old."),
        Parameter("stream", "string", "The stream to read: 'All', 'Stdout' or 'Stderr'."),
        Parameter("tailLines", "integer", "Reads this many lines at the end."),
        Parameter("timestamps", "boolean", "Begins each line with the time it was written."),
    ),
    "portforward": (Parameter("ports", "integer", "The ports to forward."),),
    "proxy": (Parameter("path", "string", "The path to ask for behind the proxy."),),
}
