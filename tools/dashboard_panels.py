"""The kinds of panels that the dashboards are made of, with the house's colours and legends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE: Final = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
CHOSEN: Final = 'namespace=~"$namespace", gateway=~"$gateway", pod=~"$pod"'
GREEN, YELLOW, RED, BLUE = "green", "orange", "red", "blue"


Builder = Any  # each kind of panel has a builder of its own, with the same methods


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and what its series are called. CHOSEN stands for the variables' matchers."""

    expr: str
    legend: str = ""

    def build(self, *, at_once: bool = False) -> prometheus.Dataquery:
        query = prometheus.Dataquery().datasource(DATASOURCE).legend_format(self.legend)
        query.expr(self.expr.replace("CHOSEN", CHOSEN))
        return query.instant() if at_once else query.range()


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel; `kind` makes the builder, `width` is of 24, `unit` is Grafana's word for it."""

    kind: Callable[[], Builder]
    title: str
    description: str
    queries: Sequence[Query]
    unit: str
    width: int = 8
    height: int = 8
    steps: Sequence[tuple[float, str]] = ()
    adapt: Callable[[Builder], Builder] = lambda builder: builder
    at_once: bool = False

    def build(self) -> Builder:
        builder = (
            self.kind()
            .title(self.title)
            .description(self.description)
            .datasource(DATASOURCE)
            .unit(self.unit)
            .span(self.width)
            .height(self.height)
        )
        for letter, query in zip("ABCDEFGH", self.queries, strict=False):
            builder.with_target(query.build(at_once=self.at_once).ref_id(letter))
        if self.steps:
            builder.thresholds(threshold_steps(self.steps))
        return self.adapt(builder)


def threshold_steps(steps: Sequence[tuple[float, str]]) -> build.ThresholdsConfig:
    """The first step holds from minus infinity on."""
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(
        [
            model.Threshold(value=None if i == 0 else value, color=color)
            for i, (value, color) in enumerate(steps)
        ]
    )  # fmt: skip


# --- kinds of panels


def number() -> stat.Panel:
    return (
        stat.Panel()
        .color_mode(kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .thresholds(threshold_steps([(0, BLUE)]))
    )


def lines() -> timeseries.Panel:
    return (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(10)
        .show_points(kinds.VisibilityMode.NEVER)
        .min(0)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(kinds.LegendDisplayMode.LIST)
            .placement(kinds.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(kinds.TooltipDisplayMode.MULTI)
            .sort(kinds.SortOrder.DESCENDING)
        )
    )


def stacked() -> timeseries.Panel:
    return lines().stacking(
        common.StackingConfig().mode(kinds.StackingMode.NORMAL).group("A")
    ).fill_opacity(40)  # fmt: skip


def bars() -> bargauge.Panel:
    return (
        bargauge.Panel()
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .display_mode(kinds.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_scheme(build.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .thresholds(threshold_steps([(0, BLUE)]))
    )


def rows() -> table.Panel:
    return table.Panel().show_header(True).cell_height(kinds.TableCellHeight.SM)


def joined(
    names: Mapping[str, str], order: Sequence[str], hidden: Sequence[str] = ()
) -> Callable[[Builder], Builder]:
    """A table of the queries: one row a set of labels, columns called as `names` says."""

    def adapt(builder: Builder) -> Builder:
        for target in builder.build().targets or ():
            target.format_val = PromQueryFormat.TABLE
        builder.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
        return builder.with_transformation(
            model.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": dict.fromkeys(("Time", *hidden), True),
                    "indexByName": {name: index for index, name in enumerate(order)},
                    "renameByName": dict(names),
                },
            )
        )

    return adapt


def mirrored(name: str) -> Callable[[Builder], Builder]:
    """The series of that name below the axis."""

    def adapt(builder: Builder) -> Builder:
        properties = [model.DynamicConfigValue(id_val="custom.transform", value="negative-Y")]
        builder.override_by_name(name, properties)
        builder.build().field_config.defaults.min_val = None
        return builder

    return adapt


def units(columns: Mapping[str, str]) -> Callable[[Builder], Builder]:
    def adapt(builder: Builder) -> Builder:
        for name, unit in columns.items():
            builder.override_by_name(name, [model.DynamicConfigValue(id_val="unit", value=unit)])
        return builder

    return adapt


def colored(series: Mapping[str, str]) -> Callable[[Builder], Builder]:
    def adapt(builder: Builder) -> Builder:
        for name, color in series.items():
            value = {"mode": "fixed", "fixedColor": color}
            builder.override_by_name(name, [model.DynamicConfigValue(id_val="color", value=value)])
        return builder

    return adapt


def both(*steps: Callable[[Builder], Builder]) -> Callable[[Builder], Builder]:
    def adapt(builder: Builder) -> Builder:
        for step in steps:
            builder = step(builder)
        return builder

    return adapt
