"""What metrics say as text, and what workers tell one another of them, is the same."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from apiserver.metrics import Metrics, RequestLabels
from apiserver.metrics_merge import render_merged
from storage.txn import ABSENT, Put


def _read(text: bytes) -> dict[str, Any]:
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        samples = {
            (one.name, tuple(sorted(one.labels.items()))): one.value for one in family.samples
        }
        found[family.name] = (family.type, family.documentation, samples)
    return found


def _filled() -> Metrics:
    metrics = Metrics()
    pods = metrics.series(RequestLabels("GET", "", "v1", "pods", "", "resource"))
    for duration_s in (0.0001, 0.004, 0.3, 99.0):
        pods.observe(200, duration_s)
    pods.observe(404, 0.02)
    metrics.series(RequestLabels("LIST", 'a"b\\c\n', "v1", "x", "", "cluster")).observe(500, 1.0)
    metrics.series(RequestLabels("PUT", "", "v1", "never", "", "resource"))
    put = Put("apps/deployments", "default", "a", b"", b"{}", 0, ABSENT)
    metrics.commits.observe(put, 0.002)
    metrics.commits.fail(put, 70.0)
    metrics.watches["", "v1", "pods"] = 3
    return metrics


def test_text_and_export_say_the_same() -> None:
    metrics = _filled()
    text, merged = _read(metrics.render()), _read(render_merged([metrics.export()]))
    assert set(text) == set(merged)
    for name in text:
        if not name.startswith("process_"):
            assert text[name] == merged[name], name


def test_buckets_are_added_up_and_labels_escaped() -> None:
    text = _filled().render().decode()
    head = "apiserver_request_duration_seconds"
    own = 'resource="pods",scope="resource",subresource="",verb="GET",version="v1"'
    labels = f'component="apiserver",group="",{own}'
    for bound, count in (("0.005", 2), ("0.025", 3), ("0.4", 4), ("60.0", 4), ("+Inf", 5)):
        assert f'{head}_bucket{{{labels},le="{bound}"}} {count}\n' in text
    assert f"{head}_count{{{labels}}} 5\n" in text
    assert f'apiserver_request_total{{code="404",{labels}}} 1\n' in text
    assert 'group="a\\"b\\\\c\\n"' in text
    assert "never" not in text
    commit = 'group="apps",operation="create",resource="deployments"'
    assert f"etcd_requests_total{{{commit}}} 2\n" in text
    assert f"etcd_request_errors_total{{{commit}}} 1\n" in text
