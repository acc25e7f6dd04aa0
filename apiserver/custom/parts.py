"""The parts that serve custom types, put together."""

from __future__ import annotations

from dataclasses import dataclass

from apiserver.custom.definition import DEFINITIONS
from apiserver.custom.served import Served
from apiserver.custom.steward import Steward
from apiserver.custom.webhooks import ConversionCaller
from apiserver.server import Server


@dataclass(frozen=True, slots=True)
class CustomParts:
    """What is served, and who looks after it.

    Attributes:
        served: which custom types there are.
        server: that serves them.
        steward: looks after their definitions.
        caller: calls the webhooks that convert between versions.
    """

    served: Served
    server: Server
    steward: Steward
    caller: ConversionCaller

    async def close(self) -> None:
        """Close the connections to webhooks."""
        await self.caller.close()

    def listen(self) -> None:
        """Act on definitions as soon as this process has written one."""
        announced = self.server.announced
        before = announced.get(DEFINITIONS)

        async def announce(storage: str, revision: int) -> None:
            self.steward.kick()
            if before is not None:
                await before(storage, revision)

        announced[DEFINITIONS] = announce

    async def run(self) -> None:
        """Look after definitions, forever."""
        if DEFINITIONS in self.server.catalog.by_storage:
            await self.steward.run()


def make_custom(server: Server) -> CustomParts:
    """Return the parts; the server's catalog finds custom types from now on."""
    caller = ConversionCaller(server.store, server.simulated)
    served = Served(server.store, server.catalog, caller.ask)
    server.catalog.custom = served
    return CustomParts(served, server, Steward(server, served), caller)
