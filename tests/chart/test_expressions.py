"""Dashboards and alerts: every metric, label and value that they name is in a real scrape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from support.promql import Scrape, grouping, wanted, without_grafana

pytestmark = pytest.mark.netns

FILES = Path(__file__).resolve().parents[2] / "charts" / "ferrule" / "files"
DASHBOARDS = sorted((FILES / "dashboards").glob("*.json"))
ALERTS = YAML(typ="safe").load(FILES / "alerts.yaml")
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
SERVED_BY_PROMETHEUS = {"up"}
LABEL_OF_BUCKETS = "le"


def panels(dashboard: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            yield panel


def expressions() -> Iterator[Any]:
    for path in DASHBOARDS:
        for panel in panels(json.loads(path.read_text())):
            for target in panel["targets"]:
                name = f"{path.stem}: {panel['title']} {target['refId']}"
                yield pytest.param(without_grafana(target["expr"]), id=name)
    for rule in RULES:
        yield pytest.param(rule["expr"], id=rule["alert"])


@pytest.mark.parametrize("expression", list(expressions()))
def test_what_it_asks_for_is_scraped(expression: str, scrape: Scrape) -> None:
    asked = [one for one in wanted(expression) if one.metric not in SERVED_BY_PROMETHEUS]
    assert asked, "asks for nothing"
    assert [lack for one in asked if (lack := scrape.lacks(one))] == []
    known = scrape.labels([one.metric for one in asked])
    assert grouping(expression) <= known


@pytest.mark.parametrize(
    ("expression", "lack"),
    [
        ("sum(ferrule_session)", "no metric ferrule_session"),
        ('ferrule_sessions{user="alice"}', "ferrule_sessions has no label user"),
        ('ferrule_setups_total{outcome="ok"}', "ferrule_setups_total never has"),
    ],
)
def test_what_is_not_scraped_would_be_noticed(expression: str, lack: str, scrape: Scrape) -> None:
    assert scrape.lacks(wanted(expression)[0]).startswith(lack)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_legends_and_variables_name_labels_that_there_are(path: Path, scrape: Scrape) -> None:
    dashboard = json.loads(path.read_text())
    for panel in panels(dashboard):
        for target in panel["targets"]:
            named = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
            assert named <= grouping(without_grafana(target["expr"])) | {"namespace", "pod"}
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    for name, variable in variables.items():
        if variable["type"] != "query":
            continue
        query = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        assert query is not None
        assert query[2] == name
        assert [scrape.lacks(one) for one in wanted(query[1])] == [""]
    used = set(re.findall(r"\$(?!__)\{?(\w+)", path.read_text()))
    assert used == set(variables)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_lie_beside_each_other_and_explain_themselves(path: Path) -> None:
    dashboard = json.loads(path.read_text())
    taken: set[tuple[int, int]] = set()
    numbers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in panels(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert 'namespace=~"$namespace", gateway=~"$gateway", pod=~"$pod"' in target["expr"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_tells_a_person_what_to_do(rule: Mapping[str, Any]) -> None:
    assert rule["alert"].startswith("Ferrule")
    assert rule["for"]
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    text = " ".join(rule["annotations"].values())
    named = set(re.findall(r"\$labels\.(\w+)", text))
    assert {"namespace", "gateway"} & named
    assert named <= grouping(rule["expr"])
    for page in re.findall(r"docs/[\w./-]+\w", text):
        assert (FILES.parents[2] / page).exists()


def test_there_are_six_alerts() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES) == 6
