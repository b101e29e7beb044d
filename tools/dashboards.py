"""Writes the Grafana dashboards of the chart with Grafana's own types; --check only compares.

Every expression is tested: its metrics against a scrape (tests/chart/test_dashboards.py), itself
by a Prometheus with traffic in it (tests/kubernetes/test_chart_prometheus.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final

from dashboard_panels import (
    DATASOURCE,
    GREEN,
    RED,
    YELLOW,
    Panel,
    Query,
    bars,
    both,
    colored,
    joined,
    lines,
    mirrored,
    number,
    rows,
    stacked,
    units,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "charts" / "ferrule" / "files" / "dashboards"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    wrong = 0
    for path, text in files().items():
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        if there == text:
            continue
        name = str(path.relative_to(ROOT))
        if check:
            wrong += 1
            diff = unified_diff(there.splitlines(), text.splitlines(), name, name, lineterm="")
            print(*list(diff)[:40], sep="\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    if wrong:
        print("A dashboard differs from its source: run `make chart`.", file=sys.stderr)
    return min(wrong, 1)


def files() -> dict[Path, str]:
    """What must stand where."""
    made = gateways().build()
    for count, panel in enumerate(made.panels or (), 1):
        panel.id_val = count
    text = json.dumps(made, cls=JSONEncoder, indent=1, sort_keys=True)
    return {FOLDER / "gateways.json": text + "\n"}


# --- the dashboard


def gateways() -> build.Dashboard:
    """Who is on, throughput, set-ups and their failures, pools, and the process."""
    made = (
        build.Dashboard("Ferrule: gateways")
        .uid("ferrule-gateways")
        .description("L2TP/IPsec gateways: who is on, what goes through, what fails and why.")
        .tags(["ferrule", "vpn"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(_variables())
    )
    for title, panels in ROWS:
        made.with_row(build.Row(title))
        for panel in panels:
            made.with_panel(panel.build())
    return made


def _variables() -> list[Any]:
    datasource = build.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return [
        datasource,
        _choice("namespace", "label_values(ferrule_build_info, namespace)"),
        _choice("gateway", 'label_values(ferrule_build_info{namespace=~"$namespace"}, gateway)'),
        _choice(
            "pod",
            'label_values(ferrule_build_info{namespace=~"$namespace", gateway=~"$gateway"}, pod)',
        ),
    ]


def _choice(name: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label(name.capitalize())
        .datasource(DATASOURCE)
        .query({"query": query, "refId": name})
        .definition(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(selected=True, text="All", value="$__all"))
    )


# --- what is shown

NOW: Final = (
    Panel(
        number, "On now", "Sessions with an address.",
        [Query("sum(ferrule_sessions{CHOSEN})")], "none", width=4, height=4,
    ),
    Panel(
        number, "Pods that serve", "Pods whose ports and TUN are open.",
        [Query("sum(ferrule_ready{CHOSEN})")], "none", width=4, height=4,
        steps=[(0, RED), (1, GREEN)],
    ),
    Panel(
        number, "Set-ups that work", "Of the set-ups that came to an end in the last hour. "
        "Wrong passwords and wrong keys count as failures as well.",
        [Query(
            'sum(increase(ferrule_setups_total{CHOSEN, outcome="up"}[1h]))'
            " / (sum(increase(ferrule_setups_total{CHOSEN}[1h])) > 0)"
        )],
        "percentunit", width=4, height=4, steps=[(0, RED), (0.7, YELLOW), (0.95, GREEN)],
    ),
    Panel(
        number, "Time to connect", "95th percentile over the last hour, from the first IKE "
        "message to an open IPCP.",
        [Query(
            "histogram_quantile(0.95, sum by (le) ("
            'rate(ferrule_setup_seconds_bucket{CHOSEN, stage="total"}[1h])))'
        )],
        "s", width=4, height=4, steps=[(0, GREEN), (2, YELLOW), (5, RED)],
    ),
    Panel(
        number, "Through", "Inner IP traffic, both directions.",
        [Query("8 * sum(rate(ferrule_traffic_bytes_total{CHOSEN}[$__rate_interval]))")],
        "bps", width=4, height=4,
    ),
    Panel(
        number, "Fullest pool", "Share of its addresses that are leased.",
        [Query(
            'max(sum by (namespace, gateway, pool) (ferrule_pool_addresses{CHOSEN, state="leased"})'
            " / max by (namespace, gateway, pool) (ferrule_pool_size{CHOSEN} > 0))"
        )],
        "percentunit", width=4, height=4, steps=[(0, GREEN), (0.8, YELLOW), (0.9, RED)],
    ),
)  # fmt: skip

WHO: Final = (
    Panel(
        stacked, "Sessions", "By gateway.",
        [Query("sum by (namespace, gateway) (ferrule_sessions{CHOSEN})",
               "{{namespace}}/{{gateway}}")],
        "none",
    ),
    Panel(
        stacked, "On the way", "Not connected yet: phase 1 under way, and L2TP sessions without "
        "an address.",
        [Query("sum(ferrule_half_open{CHOSEN})", "phase 1"),
         Query("sum(ferrule_sessions_setting_up{CHOSEN})", "L2TP and PPP")],
        "none",
    ),
    Panel(
        stacked, "Sessions ended", "By reason; docs/troubleshooting.md says what each means.",
        [Query("60 * sum by (reason) ("
               "rate(ferrule_sessions_ended_total{CHOSEN}[$__rate_interval])) > 0",
               "{{reason}}")],
        "cpm",
    ),
    Panel(
        rows, "Users", "Sessions of each user, the busiest hundred; `ferrule sessions` in a pod "
        "tells addresses and times.",
        [Query("topk(100, sum by (namespace, gateway, pod, user) ("
               "ferrule_user_sessions{CHOSEN}))")],
        "none", width=12, height=9, at_once=True,
        adapt=joined(
            {"user": "User", "namespace": "Namespace", "gateway": "Gateway", "pod": "Pod",
             "Value": "Sessions"},
            order=["user", "namespace", "gateway", "pod", "Value"],
        ),
    ),
    Panel(
        rows, "Pods", "What each pod has now.",
        [Query("sum by (namespace, gateway, pod) (ferrule_sessions{CHOSEN})"),
         Query("sum by (namespace, gateway, pod) (ferrule_clients{CHOSEN})"),
         Query("sum by (namespace, gateway, pod) (ferrule_users{CHOSEN})"),
         Query("time() - max by (namespace, gateway, pod) (ferrule_start_time_seconds{CHOSEN})"),
         Query("max by (namespace, gateway, pod, version) (ferrule_build_info{CHOSEN})")],
        "none", width=12, height=9, at_once=True,
        adapt=both(
            joined(
                {"namespace": "Namespace", "gateway": "Gateway", "pod": "Pod",
                 "version": "Version", "Value #A": "Sessions", "Value #B": "Remote hosts",
                 "Value #C": "Accounts", "Value #D": "Up for"},
                order=["namespace", "gateway", "pod", "Value #A", "Value #B", "Value #C",
                       "Value #D", "version"],
                hidden=["Value #E"],
            ),
            units({"Up for": "dtdurations"}),
        ),
    ),
)  # fmt: skip

THROUGHPUT: Final = (
    Panel(
        lines, "Clients' traffic", "Inner IP packets: up is from clients, drawn below.",
        [Query("8 * sum(rate("
               'ferrule_traffic_bytes_total{CHOSEN, direction="down"}[$__rate_interval]))', "down"),
         Query("8 * sum(rate("
               'ferrule_traffic_bytes_total{CHOSEN, direction="up"}[$__rate_interval]))', "up")],
        "bps", width=12, adapt=mirrored("up"),
    ),
    Panel(
        lines, "Packets", "Inner IP packets a second: up is from clients, drawn below.",
        [Query("sum(rate("
               'ferrule_traffic_packets_total{CHOSEN, direction="down"}[$__rate_interval]))',
               "down"),
         Query("sum(rate("
               'ferrule_traffic_packets_total{CHOSEN, direction="up"}[$__rate_interval]))', "up")],
        "pps", width=12, adapt=mirrored("up"),
    ),
    Panel(
        stacked, "Traffic by gateway", "Inner IP traffic, both directions.",
        [Query("8 * sum by (namespace, gateway) ("
               "rate(ferrule_traffic_bytes_total{CHOSEN}[$__rate_interval]))",
               "{{namespace}}/{{gateway}}")],
        "bps", width=12,
    ),
    Panel(
        stacked, "Dropped and refused", "Packets and messages by reason, the ten most frequent; "
        "docs/troubleshooting.md says what each means.",
        [Query("topk(10, sum by (reason) (rate(ferrule_dropped_total{CHOSEN}[$__rate_interval]))"
               " > 0)", "{{reason}}")],
        "pps", width=12,
    ),
)  # fmt: skip

SETUPS: Final = (
    Panel(
        stacked, "Set-ups", "Those that came to an end.",
        [Query("60 * sum by (outcome) (rate(ferrule_setups_total{CHOSEN}[$__rate_interval]))",
               "{{outcome}}")],
        "cpm", adapt=colored({"up": GREEN, "failed": RED}),
    ),
    Panel(
        stacked, "Failures by stage", "Phase 1 is about keys and algorithms, auth about user "
        "names and passwords, ipcp about addresses.",
        [Query("60 * sum by (stage) (rate(ferrule_failures_total{CHOSEN}[$__rate_interval])) > 0",
               "{{stage}}")],
        "cpm",
    ),
    Panel(
        bars, "Failures by reason", "Over the time shown, the twelve most frequent; "
        "docs/troubleshooting.md has a remedy for each.",
        [Query("topk(12, sum by (stage, reason) ("
               "increase(ferrule_failures_total{CHOSEN}[$__range])) > 0)",
               "{{stage}}: {{reason}}")],
        "none", at_once=True, adapt=lambda panel: panel.decimals(0),
    ),
    Panel(
        lines, "Time of each stage", "95th percentile.",
        [Query("histogram_quantile(0.95, sum by (le, stage) ("
               "rate(ferrule_setup_seconds_bucket{CHOSEN}[$__rate_interval])))", "{{stage}}")],
        "s",
    ),
    Panel(
        stacked, "Logins", "By method and outcome.",
        [Query("60 * sum by (method, outcome) ("
               "rate(ferrule_auth_total{CHOSEN}[$__rate_interval])) > 0",
               "{{method}}: {{outcome}}")],
        "cpm",
    ),
    Panel(
        stacked, "IPsec SAs by suite", "Pairs of SAs that are up.",
        [Query("sum by (suite) (ferrule_ipsec_sas{CHOSEN})", "{{suite}}")],
        "none",
    ),
)  # fmt: skip

POOLS: Final = (
    Panel(
        bars, "Leased", "Share of each pool's addresses.",
        [Query("sum by (namespace, gateway, pool) "
               '(ferrule_pool_addresses{CHOSEN, state="leased"})'
               " / max by (namespace, gateway, pool) (ferrule_pool_size{CHOSEN} > 0)",
               "{{namespace}}/{{gateway}}: {{pool}}")],
        "percentunit", width=12, at_once=True,
        steps=[(0, GREEN), (0.8, YELLOW), (0.9, RED)], adapt=lambda panel: panel.min(0).max(1),
    ),
    Panel(
        lines, "Free addresses", "What is left of each pool.",
        # Pods share the pools: each counts as leased what its own sessions have.
        [Query("max by (namespace, gateway, pool) (sum by (namespace, gateway, pod, pool) "
               "(ferrule_pool_addresses{CHOSEN})) - sum by (namespace, gateway, pool) "
               '(ferrule_pool_addresses{CHOSEN, state="leased"})',
               "{{namespace}}/{{gateway}}: {{pool}}")],
        "none", width=12,
    ),
)  # fmt: skip

MEMBERS: Final = (
    Panel(
        lines, "Members", "How many each pod counts: where they differ, the ring is cut.",
        [Query("ferrule_cluster_members{CHOSEN}", "{{namespace}}/{{pod}}")],
        "none", width=6,
    ),
    Panel(
        stacked, "Shards", "Clients are spread over 1,024 shards; what each pod serves.",
        [Query("ferrule_cluster_shards{CHOSEN}", "{{namespace}}/{{pod}}")],
        "none", width=6,
    ),
    Panel(
        lines, "Store", "1 while a pod reaches it. Without it clients stay, and nobody takes over.",
        [Query("min by (namespace, pod) (ferrule_store_up{CHOSEN})", "{{namespace}}/{{pod}}")],
        "none", width=6, adapt=lambda panel: panel.max(1),
    ),
    Panel(
        lines, "Relay share", "Of the ESP packets that entered at a pod in the last minute, those "
        "that were another's. Near zero, but for a while after pods came or went.",
        [Query("ferrule_relay_share{CHOSEN}", "{{namespace}}/{{pod}}")],
        "percentunit", width=6,
    ),
    Panel(
        stacked, "Relayed", "Packets that pods sent each other, by what they are.",
        [Query("sum by (direction, kind) ("
               'rate(ferrule_relayed_packets_total{CHOSEN, direction=~"to_.*"}[$__rate_interval]))',
               "{{direction}}: {{kind}}")],
        "pps",
    ),
    Panel(
        stacked, "Clients that moved", "Bound: to the pod that their traffic enters. Handed over: "
        "before a pod left. Taken over: after it did. Lost: they have to connect anew.",
        [Query("60 * sum by (how) (rate(ferrule_cluster_clients_total{CHOSEN}[$__rate_interval]))",
               "{{how}}")],
        "cpm",
    ),
    Panel(
        lines, "Time to take over", "From the order to serve shards to the last of their clients: "
        "95th percentile since each pod began, for it is rare.",
        [Query("histogram_quantile(0.95, sum by (namespace, pod, le) ("
               "ferrule_cluster_take_over_seconds_bucket{CHOSEN}))", "{{namespace}}/{{pod}}")],
        "s",
    ),
)  # fmt: skip

PROCESS: Final = (
    Panel(
        lines, "CPU", "Cores that a pod uses.",
        [Query("rate(process_cpu_seconds_total{CHOSEN}[$__rate_interval])",
               "{{namespace}}/{{pod}}")],
        "none", width=6, height=7,
    ),
    Panel(
        lines, "Memory", "Resident memory.",
        [Query("process_resident_memory_bytes{CHOSEN}", "{{namespace}}/{{pod}}")],
        "bytes", width=6, height=7,
    ),
    Panel(
        stacked, "Configuration loaded", "A failed reload leaves the configuration before it in "
        "force: whoever was disabled by it can still connect.",
        [Query("60 * sum by (outcome) ("
               "rate(ferrule_config_reloads_total{CHOSEN}[$__rate_interval]))", "{{outcome}}")],
        "cpm", width=6, height=7, adapt=colored({"ok": GREEN, "failed": RED}),
    ),
    Panel(
        lines, "Bugs", "Exceptions that cost one client each; the log has the traceback.",
        [Query("60 * sum by (namespace, pod) ("
               "rate(ferrule_bugs_total{CHOSEN}[$__rate_interval]))", "{{namespace}}/{{pod}}")],
        "cpm", width=6, height=7,
    ),
)  # fmt: skip


ROWS: Final[Sequence[tuple[str, Sequence[Panel]]]] = (
    ("Now", NOW),
    ("Who is on", WHO),
    ("Throughput", THROUGHPUT),
    ("Set-ups and what fails", SETUPS),
    ("Pools", POOLS),
    ("Replicas", MEMBERS),
    ("The pods' processes", PROCESS),
)


if __name__ == "__main__":
    raise SystemExit(main())
