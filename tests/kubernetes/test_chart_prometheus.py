"""Dashboards and alerts in a real Prometheus: every panel shows something once clients came and
failed to, and each alert fires when it should and not before (promtool)."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from support.concentrator import serving
from support.netns import Forked, obstacle
from tests.kubernetes.chart.prometheus import SCRAPE_SECONDS, scraping
from tests.kubernetes.chart.render import CHART
from tests.kubernetes.cluster.binaries import binary

ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARDS = sorted((CHART / "files" / "dashboards").glob("*.json"))
CASES = Path(__file__).parent / "chart" / "alerts_test.yaml"
VARIABLES = {
    "$__rate_interval": "15s",
    "$__range": "1h",
    "$namespace": "vpn",
    "$gateway": ".*",
    "$pod": "office-0|office-1",
}


def expressions() -> dict[str, str]:
    """By dashboard, panel and letter, as Grafana would send them."""
    found = {}
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                text = target["expr"]
                for name, value in VARIABLES.items():
                    text = text.replace(name, value)
                found[f"{path.stem}: {panel['title']} {target['refId']}"] = text
    return found


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Prometheus says to each expression while somebody is on; the rules; the variables."""
    if obstacle():
        pytest.skip(f"left out: {obstacle()}")
    folder = tmp_path_factory.mktemp("prometheus")

    def scenario() -> None:
        with serving(folder) as concentrator, scraping(folder, ALERTS) as prometheus:
            prometheus.until("ferrule_ready == 1")
            # One scrape must lie before an event for rate() to see it.
            with concentrator.somebody_on():
                prometheus.until("ferrule_user_sessions == 1")
            concentrator.somebody_strange()
            concentrator.somebody_fails()
            concentrator.reload()
            concentrator.until('ferrule_config_reloads_total{outcome="ok"} 1.0')
            prometheus.until("ferrule_sessions == 0")
            with concentrator.somebody_on():
                prometheus.until("ferrule_sessions == 1")
                prometheus.until("rate(ferrule_sessions_ended_total[15s]) > 0")
                prometheus.until("rate(ferrule_traffic_bytes_total[15s]) > 0")
                prometheus.until('rate(ferrule_failures_total{reason="wrong_password"}[15s]) > 0')
                prometheus.until("rate(ferrule_dropped_total[15s]) > 0")
                said = {name: prometheus.query(text) for name, text in expressions().items()}
                rules = prometheus.rules()
            concentrator.config.write_text("gateway: {}")
            concentrator.reload()
            prometheus.until("ferrule_config_last_reload_successful == 0")
            time.sleep(2 * SCRAPE_SECONDS)
            after = prometheus.rules()
        result = {"panels": said, "rules": rules, "after": after}
        (folder / "answers.json").write_text(json.dumps(result))

    trouble = Forked(scenario).wait(180)
    assert not trouble, trouble
    result: dict[str, Any] = json.loads((folder / "answers.json").read_text())
    return result


@pytest.mark.parametrize("name", list(expressions()))
def test_a_panel_shows_something(name: str, answers: dict[str, Any]) -> None:
    samples = answers["panels"][name]
    assert samples
    assert any(sample["value"][1] != "NaN" for sample in samples)


def test_what_panels_show_is_true(answers: dict[str, Any]) -> None:
    def value(name: str) -> float:
        (sample,) = answers["panels"][f"gateways: {name} A"]
        return float(sample["value"][1])

    assert value("On now") == 1
    assert value("Pods that serve") == 1
    assert value("Set-ups that work") == pytest.approx(2 / 3, abs=0.01)
    assert 0 < value("Time to connect") < 10
    assert value("Fullest pool") == pytest.approx(1 / 253, rel=0.02)
    (user,) = answers["panels"]["gateways: Users A"]
    assert user["metric"]["user"] == "alice"
    reasons = {
        one["metric"]["reason"] for one in answers["panels"]["gateways: Failures by reason A"]
    }
    assert reasons == {"wrong_password"}


def test_rules_are_evaluated_and_silent_while_all_is_well(answers: dict[str, Any]) -> None:
    names = [rule["name"] for rule in answers["rules"]]
    assert len(names) == 6
    for rule in answers["rules"]:
        assert rule["health"] == "ok", rule.get("lastError")
        assert rule["state"] == "inactive", rule["name"]


def test_a_refused_configuration_raises_its_alert(answers: dict[str, Any]) -> None:
    raised = [rule["name"] for rule in answers["after"] if rule["state"] != "inactive"]
    assert raised == ["FerruleConfigurationRefused"]


def test_promtool_likes_the_rules() -> None:
    command = [str(binary("promtool")), "check", "rules", "--lint=all", "--lint-fatal", str(ALERTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_should() -> None:
    command = [str(binary("promtool")), "test", "rules", os.path.basename(CASES)]
    done = subprocess.run(command, cwd=CASES.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case_in_which_it_fires_and_one_in_which_not() -> None:
    cases = YAML(typ="safe").load(CASES)
    assert (CASES.parent / cases["rule_files"][0]).resolve() == ALERTS
    fired: dict[str, set[bool]] = {}
    for test in cases["tests"]:
        for one in test["alert_rule_test"]:
            fired.setdefault(one["alertname"], set()).add(bool(one.get("exp_alerts")))
    rules = YAML(typ="safe").load(ALERTS)["groups"][0]["rules"]
    assert fired == {rule["alert"]: {True, False} for rule in rules}
