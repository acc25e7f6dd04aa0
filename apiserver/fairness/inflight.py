"""Plain limits of how many requests run at once, for a server without priority and fairness.

Upstream's maxinflight filter: reads and writes have a limit each, what lasts as long as clients
like (watches, exec, ...) is not limited, and system:masters always get in.
"""

from __future__ import annotations

from typing import Final

from apiserver.authn import MASTERS, User
from apiserver.authz import Attributes
from apiserver.exchange import Exchange
from apiserver.fairness.flows import Flow, Flows
from apiserver.fairness.gate import LONG_RUNNING, Refused, Ticket
from apiserver.fairness.model import EXEMPT
from apiserver.fairness.requests import ONE_SEAT, Phase

RETRY_AFTER_S: Final = 1
READS: Final = frozenset({"get", "list"})


class InflightGate:
    """Lets so many reads and so many writes in; 0 is no limit.

    Attributes:
        reads, writes: that run now.
    """

    def __init__(self, reads_max: int, writes_max: int) -> None:
        self.reads = self.writes = 0
        self._reads_max = reads_max
        self._writes_max = writes_max
        flows = Flows(0, 0.0)
        self._flow = Flow(flows.schemas[0], flows.levels[EXEMPT], "")

    def arrive(
        self, exchange: Exchange, asked: Attributes, _storage: str, now_s: float
    ) -> Ticket | None:
        """Let a request in if there is room.

        Raises:
            Refused: there is none.
        """
        if asked.verb == "watch" or asked.subresource in LONG_RUNNING:
            return None
        is_read = asked.verb in READS
        running, most = (
            (self.reads, self._reads_max) if is_read else (self.writes, self._writes_max)
        )
        if most and running >= most:
            user: User = exchange.user
            if MASTERS in user.groups:
                return None
            raise Refused(RETRY_AFTER_S)
        ticket = Ticket(self._flow, ONE_SEAT, now_s, exchange, asked)
        ticket.phase = Phase.RUNNING
        if is_read:
            self.reads += 1
        else:
            self.writes += 1
        return ticket

    async def wait(self, _ticket: Ticket, _limit_s: float) -> None:
        """Nobody waits here."""

    def leave(self, ticket: Ticket, _arrived_s: float, _now_s: float) -> None:
        """End a request that was let in."""
        ticket.phase = Phase.DONE
        if ticket.asked.verb in READS:
            self.reads -= 1
        else:
            self.writes -= 1
