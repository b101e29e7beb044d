"""What a PromQL expression asks for: metrics, and the labels it matches, groups and joins by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

GRAFANA: Final = {"$__rate_interval": "1m", "$__range": "6h", "$__interval": "30s"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """`equal`: what a selector demands literally; `labels`: all that it names."""

    metric: str
    equal: Mapping[str, str] = field(default_factory=dict)
    labels: frozenset[str] = frozenset()


def without_grafana(expression: str) -> str:
    """As Grafana would send it, with its variables of time filled in."""
    for name, value in GRAFANA.items():
        expression = expression.replace(f"[{name}]", f"[{value}]")
    return expression


def wanted(expression: str) -> list[Wanted]:
    """Every selector of the expression. ValueError where it does not parse."""
    return [_of(selector) for selector in _selectors(promql.parse(expression))]


def grouping(expression: str) -> set[str]:
    """Labels in by, without, on, ignoring and group_left clauses."""
    found: set[str] = set()
    for node in _nodes(promql.parse(expression)):
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            found |= set(node.modifier.labels)
        if isinstance(node, promql.BinaryExpr) and node.modifier and node.modifier.matching:
            found |= set(node.modifier.matching.labels)
    return found


def _of(selector: Any) -> Wanted:
    matchers = selector.matchers.matchers
    return Wanted(
        selector.name,
        {m.name: m.value for m in matchers if m.op == promql.MatchOp.Equal},
        frozenset(m.name for m in matchers),
    )


def _selectors(tree: Any) -> Iterator[Any]:
    for node in _nodes(tree):
        if isinstance(node, promql.VectorSelector):
            yield node
        elif isinstance(node, promql.MatrixSelector):
            yield node.vector_selector


def _nodes(tree: Any) -> list[Any]:
    found: list[Any] = []
    promql.walk(tree, found.append, None)
    return found


class Scrape:
    """A page of /metrics; `target` are labels that the scraping adds."""

    def __init__(self, page: str, target: Sequence[str]) -> None:
        self.target = frozenset(target)
        self.samples: dict[str, list[Mapping[str, str]]] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                self.samples.setdefault(sample.name, []).append(sample.labels)

    def lacks(self, one: Wanted) -> str:
        """What a selector asks for that is not there; "" if a sample would match."""
        rows = self.samples.get(one.metric)
        if rows is None:
            return f"no metric {one.metric}"
        known = self.target.union(*rows)
        if strange := one.labels - known:
            return f"{one.metric} has no label {', '.join(sorted(strange))}"
        asked = {name: value for name, value in one.equal.items() if name not in self.target}
        if not any(asked.items() <= row.items() for row in rows):
            return f"{one.metric} never has {asked}"
        return ""

    def labels(self, metrics: Sequence[str]) -> frozenset[str]:
        return self.target.union(*(row for name in metrics for row in self.samples.get(name, ())))
