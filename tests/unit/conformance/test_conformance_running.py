"""Runs of cases: how they end, beside each other and alone, and what is left behind."""

from __future__ import annotations

import asyncio
import base64
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from conformance.api import Api
from conformance.checks import CaseFailed, CaseSkipped, eventually, refused
from conformance.registry import Case
from conformance.results import Outcome, Result
from conformance.running import run_cases
from conformance.specs import Needs, Spec, all_specs
from conformance.stage import Stage, Target
from conformance.watching import Watch
from conformance.webhook_server import serve_webhooks
from kube.access import Access
from kube.status import StatusError

TARGET = Target(Api(Access("http://127.0.0.1:1")), Path("/kubeconfig"), "127.0.0.1")


class _Watcher:
    def __init__(self) -> None:
        self.running: set[str] = set()
        self.beside: dict[str, int] = {}

    def on_start(self, case: Case) -> None:
        self.running.add(case.name)
        self.beside[case.name] = len(self.running)

    def on_end(self, case: Case, _result: Result) -> None:
        self.running.remove(case.name)


def _spec(*, serial: bool, number: int = 0) -> Spec:
    return [spec for spec in all_specs() if spec.serial == serial][number]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run cases on stages without a server; gives results, what was cleaned up, and who ran."""
    cleaned: list[str] = []

    async def set_up(target: Target) -> Stage:
        stage = Stage(target, "ns", "unique")

        async def clean() -> None:
            cleaned.append(stage.namespace)

        stage.later(clean)
        return stage

    monkeypatch.setattr("conformance.running.set_up", set_up)

    def start(
        *cases: Case, parallel: int = 8, target: Target = TARGET
    ) -> tuple[list[Result], list[str], _Watcher]:
        watcher = _Watcher()
        results = asyncio.run(run_cases(cases, target, watcher, parallel=parallel))
        return results, cleaned, watcher

    return start


def test_what_needs_nodes_is_not_judged_where_there_are_none(run: Any) -> None:
    specs = {spec.needs: spec for spec in all_specs()}
    cases = [
        Case(specs[needs], _passes, local=False, timeout_s=5.0)
        for needs in (Needs.API, Needs.NODES)
    ]
    results, _, _ = run(*cases, target=replace(TARGET, has_nodes=False))
    assert [result.outcome for result in results] == [Outcome.PASSED, Outcome.SKIPPED]
    assert results[1].message == "there are no nodes"
    results, _, _ = run(*cases)
    assert [result.outcome for result in results] == [Outcome.PASSED, Outcome.PASSED]


async def _passes(_stage: Stage) -> None:
    await asyncio.sleep(0)


async def _fails(_stage: Stage) -> None:
    raise CaseFailed("expected 1, got 2")


async def _skips(_stage: Stage) -> None:
    raise CaseSkipped("no kubectl")


async def _is_refused(_stage: Stage) -> None:
    raise StatusError(403, "Forbidden", "no")


async def _breaks(_stage: Stage) -> None:
    answer: dict[str, Any] = {}
    answer["status"]["phase"] = "an answer without what every server gives"


async def _hangs(_stage: Stage) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("body", "outcome", "message"),
    [
        (_passes, Outcome.PASSED, ""),
        (_fails, Outcome.FAILED, "expected 1, got 2"),
        (_skips, Outcome.SKIPPED, "no kubectl"),
        (_is_refused, Outcome.FAILED, "refused: 403 Forbidden: no"),
        (_breaks, Outcome.FAILED, "KeyError: 'status'"),
        (_hangs, Outcome.FAILED, "not done within 0.05 s"),
    ],
)
def test_however_a_case_ends_it_is_told_and_cleaned_up(
    run: Any, body: Any, outcome: Outcome, message: str
) -> None:
    case = Case(_spec(serial=False), body, local=False, timeout_s=0.05)
    [result], cleaned, _watcher = run(case)
    assert (result.outcome, result.message) == (outcome, message)
    assert cleaned == ["ns"]


def test_serial_cases_run_alone_and_others_beside_each_other(run: Any) -> None:
    arrived = asyncio.Barrier(2)

    async def meets(_stage: Stage) -> None:
        await arrived.wait()

    together = [
        Case(_spec(serial=False, number=n), meets, local=False, timeout_s=5) for n in (0, 1)
    ]
    alone = [Case(_spec(serial=True, number=n), _passes, local=False, timeout_s=5) for n in (0, 1)]
    results, _cleaned, watcher = run(*alone, *together)
    assert [result.outcome for result in results] == [Outcome.PASSED] * 4
    assert [watcher.beside[case.name] for case in alone] == [1, 1]


def test_no_more_run_at_a_time_than_were_asked_for(run: Any) -> None:
    cases = [
        Case(_spec(serial=False, number=n), _passes, local=False, timeout_s=5) for n in range(6)
    ]
    _results, _cleaned, watcher = run(*cases, parallel=2)
    assert max(watcher.beside.values()) == 2


def test_cleaning_goes_on_after_what_fails_in_it() -> None:
    done = []

    async def clean() -> None:
        stage = Stage(TARGET, "ns", "unique")

        async def first() -> None:
            done.append("first")

        async def broken() -> None:
            raise StatusError(500, "", "broken")

        stage.later(first)
        stage.later(broken)
        await stage.clean()

    asyncio.run(clean())
    assert done == ["first"]


def test_a_refusal_for_another_reason_is_none_that_was_expected() -> None:
    async def forbidden() -> None:
        raise StatusError(403, "Forbidden", "no")

    async def granted() -> dict[str, str]:
        return {"kind": "Pod"}

    error = asyncio.run(refused("Forbidden", forbidden(), containing="n"))
    assert error.code == 403
    for request, reason in ((forbidden(), "NotFound"), (granted(), "NotFound")):
        with pytest.raises(CaseFailed, match="expected a refusal for NotFound"):
            asyncio.run(refused(reason, request))


def test_what_never_becomes_so_fails_with_what_was_last_seen() -> None:
    async def never() -> bool:
        raise CaseFailed("still pending")

    with pytest.raises(CaseFailed, match=r"not within 0\.01 s: it is done \(still pending\)"):
        asyncio.run(eventually("it is done", never, within_s=0.01))


class _Pieces(asyncio.Queue[bytes]):
    async def readany(self) -> bytes:
        return await self.get()


def test_events_come_in_order_however_they_are_cut() -> None:
    async def read() -> list[str]:
        content = _Pieces()
        line = b'{"type":"%s","object":{"metadata":{"name":"a"}}}\n'
        whole = line % b"ADDED" + line % b"MODIFIED" + line % b"DELETED"
        watch = Watch(content, "the watch")
        content.put_nowait(whole[:70])
        first = (await watch.next()).type
        with pytest.raises(CaseFailed, match=r"no event within 0\.01 s"):
            await watch.next(within_s=0.01)
        content.put_nowait(whole[70:])
        content.put_nowait(b"")
        rest = [(await watch.next()).type for _number in range(2)]
        with pytest.raises(CaseFailed, match="the watch ended"):
            await watch.next()
        return [first, *rest]

    assert asyncio.run(read()) == ["ADDED", "MODIFIED", "DELETED"]


def _review(obj: dict[str, Any], **more: Any) -> dict[str, Any]:
    request = {"uid": "u", "name": "n", "object": obj, **more}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def test_webhooks_decide_as_those_of_upstreams_image() -> None:
    unwanted = {"metadata": {}, "data": {"webhook-e2e-test": "webhook-disallow"}}
    started = {"metadata": {}, "data": {"mutation-start": "yes"}}

    async def ask() -> list[Any]:
        stage = Stage(TARGET, "ns", "unique")
        async with serve_webhooks(stage) as webhooks, aiohttp.ClientSession() as session:
            bundle = webhooks.client("/")["caBundle"]
            tls = ssl.create_default_context(cadata=_decoded(bundle))
            answers = []
            for path, obj in (
                ("/configmaps", unwanted),
                ("/configmaps", started),
                ("/mutating-configmaps", started),
                ("/always-deny", started),
            ):
                url = webhooks.client(path)["url"]
                async with session.post(url, json=_review(obj), ssl=tls) as answer:
                    answers.append((await answer.json())["response"])
            return answers

    denied, allowed, mutated, always = asyncio.run(ask())
    assert denied["status"]["message"] == "the configmap contains unwanted key and value"
    assert (denied["allowed"], allowed["allowed"], always["allowed"]) == (False, True, False)
    assert {denied["uid"], allowed["uid"]} == {"u"}
    expected = '[{"op":"add","path":"/data/mutation-stage-1","value":"yes"}]'
    assert _decoded(mutated["patch"]) == expected


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def test_webhooks_that_the_server_cannot_reach_are_not_judged() -> None:
    async def serve() -> None:
        stage = Stage(Target(TARGET.api, TARGET.kubeconfig), "ns", "unique")
        async with serve_webhooks(stage):
            pass

    with pytest.raises(CaseSkipped, match="--webhook-host"):
        asyncio.run(serve())
