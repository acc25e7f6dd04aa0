"""The queues of one priority level: fair queuing by virtual time, with seats instead of one server.

Pure: no clock, no task, no future; time is an argument. After Nagle, Demers, Keshav and Shenker, as
upstream generalised it (KEP-1040):

- R, the virtual time, is what each queue that has something would have got in seat-seconds if seats
  were dealt evenly among such queues: it moves by (seats in demand, at most the limit) / queues.
- Each queue has the R at which its next request would start. The queue runs next whose oldest
  request would *end* first; it is then charged a guess of the work, mended when the truth is known.
- A queue that was idle starts at the present R: nobody saves up time. A queue's next start is never
  before the arrival of the request at its head.
- The one who is next waits until there are seats enough for it, and so does everybody behind: wide
  requests are not overtaken for ever. One wider than the limit runs alone.

Example, two seats, each request 1 s on one seat: flow A sends ten, then flow B one. Two of A's run;
B's would end at R=1 s, A's third at 3 s: as soon as A's first ends, B's runs.

Invariants:
    - Seats in use never exceed the limit, but for a request wider than it, which runs alone, and
      for a limit that was lowered meanwhile.
    - Whenever seats are free for the next in line, it runs.
    - Within one queue the order is that of arrival.
    - A queue is remembered only while it has requests, or as one of a bounded number of idle ones.

R is a float: after ten years at 600 seats it still tells 30 µs apart.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Final

from apiserver.fairness.demand import Demand
from apiserver.fairness.model import Queuing
from apiserver.fairness.requests import DONE, RUNNING, SERVICE_S, WAITING, Queue, Request

_IDLE_QUEUES_MAX: Final = 1024


class QueueSet:
    """One level's queues and seats.

    Attributes:
        limit: seats; None for the exempt level, whose requests all run.
        queuing: None where nobody waits.
        current_r: the virtual time.
        waiting: how many requests do.
        running: those that do, but for those that pass.
        passing_writes, passing_reads: how many run that nothing limits, on one seat each.
        seats_in_use, seats_waiting: what they hold, and want.
        rejected, timed_out, cancelled: how many were refused, all told; waited too long; left.
    """

    def __init__(self, queuing: Queuing | None, limit: int | None, now_s: float) -> None:
        self.queuing = queuing
        self.limit = limit
        self.demand = Demand()
        self.current_r = 0.0
        self.waiting = 0
        self.seats_in_use = self.seats_waiting = 0
        self.rejected = self.timed_out = self.cancelled = 0
        self.running: set[Request] = set()
        self.passing_writes = self.passing_reads = 0
        self._synced_s = now_s
        self._queues: dict[int, Queue] = {}
        self._backlog: dict[int, Queue] = {}
        self._active = 0
        self._robin = -1
        self._arrivals = 0
        self._lingering: list[tuple[float, int, Request]] = []
        self._order = itertools.count()

    # Time -------------------------------------------------------------------------------------

    def sync(self, now_s: float) -> None:
        """Move the virtual time on to `now_s`; to be called before anything changes."""
        passed_s = now_s - self._synced_s
        if passed_s > 0:
            self._synced_s = now_s
            wanted = self.seats_in_use + self.seats_waiting
            if wanted:
                demand = self.demand
                demand.seconds += passed_s
                weighted = wanted * passed_s
                demand.integral += weighted
                demand.square_integral += wanted * weighted
                if self._active:
                    limit = self.limit
                    usable = wanted if limit is None or wanted < limit else limit
                    self.current_r += usable * passed_s / self._active
            else:
                self.demand.seconds += passed_s
        if self._lingering and self._lingering[0][0] <= now_s:
            self._release_due(now_s)

    def end_period(self, now_s: float) -> None:
        """Close a period of the demand's statistics."""
        self.sync(now_s)
        self.demand.end_period(self.seats_in_use + self.seats_waiting)

    def next_release_s(self) -> float | None:
        """Return when seats held by what lingers get free while others wait for them."""
        return self._lingering[0][0] if self._lingering and self.waiting else None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits or runs."""
        return not (self.waiting or self.executing)

    @property
    def executing(self) -> int:
        """How many requests run."""
        return len(self.running) + self.passing_writes + self.passing_reads

    # Configuration ----------------------------------------------------------------------------

    def reconfigure(self, queuing: Queuing | None, limit: int | None, now_s: float) -> None:
        """Use other queues and another limit; who waits keeps its place."""
        self.sync(now_s)
        self.queuing = queuing
        self.limit = limit
        self._dispatch_all(now_s)

    # Requests ---------------------------------------------------------------------------------

    def enter(self, now_s: float, *, is_read: bool) -> None:
        """Count one more that nothing limits: all that the exempt level does with a request."""
        self.sync(now_s)
        if is_read:
            self.passing_reads += 1
        else:
            self.passing_writes += 1
        self.seats_in_use = wanted = self.seats_in_use + 1
        if wanted > self.demand.highest:  # noqa: PLR1730 (a call would cost twice as much)
            self.demand.highest = wanted

    def depart(self, now_s: float, *, is_read: bool) -> None:
        """Count one less."""
        self.sync(now_s)
        if is_read:
            self.passing_reads -= 1
        else:
            self.passing_writes -= 1
        self.seats_in_use -= 1

    def arrive(self, request: Request, now_s: float) -> bool:
        """Let a request in, to run or to wait (its phase says which); False: it is refused."""
        self.sync(now_s)
        queuing, limit, in_use = self.queuing, self.limit, self.seats_in_use
        if queuing is None:
            if limit is not None and not self._fits(request.seats):
                self._refuse(request, "concurrency-limit")
                return False
            self._run(request, now_s)
            return True
        if limit is None:
            limit = 0
        if not self.waiting and in_use < limit and self._fits(request.seats):
            # What follows below, in short: it goes into an empty queue and out again.
            self._arrivals += 1
            hand = request.hand
            index = hand[self._arrivals % len(hand)]
            queue = self._queues.get(index)
            if queue is None:
                queue = self._new_queue(index)
            if not queue.executing or queue.next_dispatch_r < self.current_r:
                queue.next_dispatch_r = self.current_r
            request.queue = queue
            self._run(request, now_s)
            return True
        queue = self._choose(request.hand)
        if self.seats_in_use >= (self.limit or 0) and len(queue.waiting) >= queuing.length_max:
            self._refuse(request, "queue-full")
            return False
        self._enqueue(request, queue)
        self._dispatch_all(now_s)
        if request.phase is WAITING:
            request.tally.lengths.observe(len(queue.waiting))
        return True

    def give_up(self, request: Request, now_s: float, *, in_time: bool) -> None:
        """Take a request that waits out of its queue.

        Args:
            request: one that waits.
            now_s: the time.
            in_time: whether it left by itself; else it has waited too long.
        """
        assert request.phase is WAITING
        self.sync(now_s)
        queue = request.queue
        assert queue is not None
        self._take_out(request, queue)
        request.phase = DONE
        request.tally.gave_up.observe(now_s - request.arrived_s)
        request.tally.reject("cancelled" if in_time else "time-out")
        self.rejected += 1
        if in_time:
            self.cancelled += 1
        else:
            self.timed_out += 1
        self._bound(queue)
        self._dispatch_all(now_s)

    def finish(self, request: Request, now_s: float) -> None:
        """End a request that runs; its seats linger where it said so."""
        assert request.phase is RUNNING
        self.sync(now_s)
        request.phase = DONE
        tally, queue = request.tally, request.queue
        taken_s = now_s - request.started_s
        (tally.watches if request.is_watch else tally.served).observe(taken_s)
        self.running.remove(request)
        if queue is not None:
            queue.executing -= 1
            queue.next_dispatch_r -= request.initial_seats * (SERVICE_S - taken_s)
            if queue.waiting:
                self._bound(queue)
            elif not queue.executing:
                self._active -= 1
        if request.linger_s > 0:
            due = (now_s + request.linger_s, next(self._order), request)
            heapq.heappush(self._lingering, due)
            tally.extra_seats += 1
        else:
            self._release(request, 1)
        if self.waiting:
            self._dispatch_all(now_s)

    def release_due(self, now_s: float) -> None:
        """Free the seats of what has lingered long enough, and let others have them."""
        self.sync(now_s)
        self._dispatch_all(now_s)

    def queues(self) -> list[Queue]:
        """Return the queues that have something, by number."""
        busy = [queue for queue in self._queues.values() if queue.executing or queue.waiting]
        return sorted(busy, key=lambda queue: queue.index)

    # Inside -----------------------------------------------------------------------------------

    def _fits(self, seats: int) -> bool:
        limit = self.limit
        if limit is None:
            return True
        if seats > limit:
            return not self.running
        return self.seats_in_use + seats <= limit

    def _refuse(self, request: Request, reason: str) -> None:
        request.phase = DONE
        request.tally.reject(reason)
        self.rejected += 1

    def _new_queue(self, index: int) -> Queue:
        if len(self._queues) >= _IDLE_QUEUES_MAX + 2 * self._active:
            self._queues = {queue.index: queue for queue in self.queues()}
        queue = self._queues[index] = Queue(index)
        return queue

    def _choose(self, hand: tuple[int, ...]) -> Queue:
        """Return the queue of a hand with the least work waiting; ties go round."""
        self._arrivals += 1
        size = len(hand)
        best: Queue | None = None
        for offset in range(size):
            index = hand[(self._arrivals + offset) % size]
            queue = self._queues.get(index) or self._new_queue(index)
            if best is None or queue.waiting_work < best.waiting_work:
                best = queue
        assert best is not None, "a hand holds at least one queue"
        return best

    def _enqueue(self, request: Request, queue: Queue) -> None:
        if not (queue.waiting or queue.executing):
            queue.next_dispatch_r = self.current_r
            self._active += 1
        request.phase = WAITING
        request.queue = queue
        request.arrival_r = self.current_r
        queue.waiting[request] = None
        queue.waiting_work += request.work
        self._backlog[queue.index] = queue
        self.waiting += 1
        self.seats_waiting += request.seats
        tally = request.tally
        tally.waiting += 1
        tally.waiting_seats += request.seats
        wanted = self.seats_in_use + self.seats_waiting
        self.demand.highest = max(self.demand.highest, wanted)
        self._bound(queue)

    def _take_out(self, request: Request, queue: Queue) -> None:
        del queue.waiting[request]
        queue.waiting_work -= request.work
        if not queue.waiting:
            queue.waiting_work = 0.0  # rid of rounding
            del self._backlog[queue.index]
            if not queue.executing:
                self._active -= 1
        self.waiting -= 1
        self.seats_waiting -= request.seats
        request.tally.waiting -= 1
        request.tally.waiting_seats -= request.seats

    def _dispatch_all(self, now_s: float) -> None:
        while self.waiting and (self.limit is None or self.seats_in_use < self.limit):
            queue, request = self._next()
            if not self._fits(request.seats):
                request.tally.unaccommodated += 1
                return
            self._take_out(request, queue)
            self._robin = queue.index
            request.tally.waited.observe(now_s - request.arrived_s)
            self._run(request, now_s)
            self._bound(queue)
            if request.on_run is not None:
                request.on_run()

    def _next(self) -> tuple[Queue, Request]:
        """Return the queue whose oldest request would end first, and that request."""
        best: tuple[float, int] | None = None
        found: tuple[Queue, Request] | None = None
        span = self.queuing.queues if self.queuing is not None else 1
        for queue in self._backlog.values():
            oldest = next(iter(queue.waiting))
            finish_r = queue.next_dispatch_r + oldest.work
            if best is not None and finish_r > best[0]:
                continue
            # Of equals that one is next which follows, in a circle, whoever was last.
            rank = (finish_r, (queue.index - self._robin - 1) % span)
            if best is None or rank < best:
                best, found = rank, (queue, oldest)
        assert found is not None, "somebody waits"
        return found

    def _run(self, request: Request, now_s: float) -> None:
        queue, tally = request.queue, request.tally
        if request.final_seats and self.limit is not None and request.final_seats > self.limit:
            _reshape(request, max(1, self.limit))
        seats = request.seats
        request.phase = RUNNING
        request.started_s = now_s
        if queue is not None:
            if not (queue.executing or queue.waiting):
                self._active += 1
            queue.executing += 1
            queue.seats += seats
            queue.next_dispatch_r += request.work
        self.running.add(request)
        self.seats_in_use += seats
        tally.started += 1
        if seats != 1:
            tally.extra_seats += seats - 1
        wanted, demand = self.seats_in_use + self.seats_waiting, self.demand
        if wanted > demand.highest:  # noqa: PLR1730 (a call would cost twice as much)
            demand.highest = wanted

    def _bound(self, queue: Queue) -> None:
        """Keep a queue that was not served for a while from catching up at others' cost."""
        for oldest in queue.waiting:
            queue.next_dispatch_r = max(queue.next_dispatch_r, oldest.arrival_r)
            return

    def _release_due(self, now_s: float) -> None:
        while self._lingering and self._lingering[0][0] <= now_s:
            self._release(heapq.heappop(self._lingering)[2], 0)

    def _release(self, request: Request, counted: int) -> None:
        """Free the seats of a request, of which `counted` are no longer counted as extra ones."""
        seats = request.seats
        self.seats_in_use -= seats
        if seats != counted:
            request.tally.extra_seats -= seats - counted
        if request.queue is not None:
            request.queue.seats -= seats


def _reshape(request: Request, seats: int) -> None:
    """Have a request linger on fewer seats, and longer: the same work."""
    request.linger_s *= request.final_seats / seats
    request.final_seats = seats
    request.seats = max(request.initial_seats, seats)
