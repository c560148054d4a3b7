"""docs/monitoring.md, the alert rules and the Grafana dashboard speak of what `/metrics` serves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pdagent.config import Config
from pdagent.relay.metrics import RelayCollector
from pdagent.relay.relay import Relay
from pdagent.relay.rows import RelayRow
from pdagent.relay.succession import Past
from pdagent.relay.watch import EngineView, EngineWatch
from tests.agent_process import REPOSITORY, AgentProcess

DOCS = REPOSITORY / "docs"
RULES = DOCS / "prometheus-rules.yml"
RULES_TEST = Path(__file__).with_name("rules-test.yml")
_ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<kind>\w+) \|(?P<labels>[^|]*)\| (?P<text>.+) \|$")

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="needs promtool (Debian, Ubuntu: apt install prometheus)",
)


@pytest.fixture(scope="module")
def exposition(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What an agent serves that has just started."""
    directory = tmp_path_factory.mktemp("agent")
    keys, secret = {"a": "k3y" * 10 + "aa"}, "a-secret-that-hosts-send-0123456"
    with AgentProcess(
        directory, "http://127.0.0.1:9", routing_keys=keys, accept_secrets=f"[{secret}]"
    ) as agent:
        yield agent.get("/metrics", headers={"Authorization": None}).text + of_a_relay()


def of_a_relay() -> str:
    """What a relay has on top, before it has seen the engine."""
    nothing: Any = None
    relay = Relay(Config(engine_urls=("nats://n1",)), nothing, Past(), nothing, nothing)
    relay.watch = EngineWatch(nothing, nothing, 3, nothing)
    standby = RelayRow(name="relay2-49463", url="https://relay2:49463", behind=2)
    relay.watch.view = EngineView(standbys=(standby,))
    registry = CollectorRegistry()
    registry.register(RelayCollector(relay))
    return generate_latest(registry).decode()


def served(exposition: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Kind and labels of each metric, by the name that Prometheus gives it."""
    metrics = {}
    for family in text_string_to_metric_families(exposition):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        metrics[name] = (family.type, frozenset(labels))
    return metrics


def documented() -> dict[str, tuple[str, frozenset[str]]]:
    """The same, as the table in docs/monitoring.md has it."""
    rows = map(_ROW.match, (DOCS / "monitoring.md").read_text(encoding="utf-8").splitlines())
    return {
        row["name"]: (row["kind"], frozenset(re.findall(r"`(\w+)`", row["labels"])))
        for row in rows
        if row and row["kind"] in ("counter", "gauge", "histogram")
    }


def samples(exposition: str) -> set[str]:
    """Every name that a query may use."""
    return {
        sample.name
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def queries() -> list[str]:
    """All queries of the Grafana dashboard."""
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def names_in(query: str) -> set[str]:
    bare = re.sub(r"\{[^}]*\}", "", query)  # labels and their values
    return set(re.findall(r"\b(?:pdagent|process)_\w+", bare))


def test_the_table_lists_exactly_what_is_served(exposition: str) -> None:
    assert documented() == served(exposition)


def test_each_alert_is_explained_and_asks_for_what_is_served(exposition: str) -> None:
    known = samples(exposition) | {"up"}
    text = (DOCS / "monitoring.md").read_text(encoding="utf-8")
    assert len(rules()) > 10
    for rule in rules():
        assert names_in(rule["expr"]) <= known, rule["alert"]
        assert f"| `{rule['alert']}` |" in text, "docs/monitoring.md has a row about it"
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"].keys() == {"summary", "description"}
    explained = re.findall(r"^\| `(PagerDuty\w+)` \|", text, re.MULTILINE)
    assert explained == [rule["alert"] for rule in rules()]


def test_each_query_of_the_dashboard_asks_for_what_is_served(exposition: str) -> None:
    known = samples(exposition)
    assert len(queries()) > 20
    for query in queries():
        assert names_in(query), query
        assert names_in(query) <= known, query
    # `le` of a quantile needs buckets, a rate a counter.
    for query in queries():
        for counter in re.findall(r"(?:rate|increase)\((\w+)", query):
            assert counter.endswith(("_total", "_bucket", "_sum", "_count")), query


def test_panels_stand_beside_each_other() -> None:
    dashboard = json.loads((DOCS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells)
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


@needs_promtool
def test_prometheus_loads_the_rules() -> None:
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


@needs_promtool
def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    done = promtool("test", "rules", RULES_TEST)
    assert done.returncode == 0, done.stdout + done.stderr
    tested = yaml.safe_load(RULES_TEST.read_text(encoding="utf-8"))["tests"]
    fired = {t["alertname"] for test in tested for t in test["alert_rule_test"] if t["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules()}, "each is seen firing"


@needs_promtool
def test_prometheus_understands_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    file = tmp_path / "queries.yml"
    made = [
        {
            "record": f"query_{number}",
            "expr": query.replace("$__rate_interval", "5m").replace("$instance", ".*"),
        }
        for number, query in enumerate(queries())
    ]
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": made}]}))
    done = promtool("check", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_finds_nothing_wrong_with_the_exposition(exposition: str) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=exposition,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if line.startswith("pdagent_")]
    assert complaints == []
