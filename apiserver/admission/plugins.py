"""All plugins in upstream's order, and which of them are switched on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiserver.admission.chain import Chain
from apiserver.admission.lifecycle import NamespaceLifecycle
from apiserver.admission.pod_defaults import PodDefaults
from apiserver.webhooks.plugins import make_extensible

if TYPE_CHECKING:
    from apiserver.server import Server


def make_chain(server: Server) -> Chain:
    """Return the admission of a server."""
    return Chain([NamespaceLifecycle(server), PodDefaults(), *make_extensible(server)])
