"""Writes docs/troubleshooting.md and docs/protocol/*.md from the source; --check only compares.

The reason list gives the troubleshooting page; the transition tables of ike, l2tp and ppp and the
tagged remarks (see source_tags.py) give the protocol pages. Nothing in those files is to be edited.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from difflib import unified_diff
from pathlib import Path

from client_messages import CLIENT_MESSAGES
from protocol_pages import (
    LAYERS,
    NOTICE,
    cell,
    deviations_page,
    index_page,
    protocol_page,
    quirks_page,
)
from source_tags import remarks

from ferrule.core.reasons import REASONS, Info, Reason, Stage

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "concentrator"
DOCS = ROOT / "docs"
STAGES: Mapping[Stage, tuple[str, str]] = {
    Stage.DATAGRAM: ("Datagrams", "before anything is negotiated"),
    Stage.PHASE1: ("Phase 1", "IKE Main Mode: algorithms, Diffie-Hellman, the pre-shared key"),
    Stage.PHASE2: ("Phase 2", "IKE Quick Mode: the IPsec SAs that carry L2TP"),
    Stage.ESP: ("ESP", "encrypted packets"),
    Stage.L2TP: ("L2TP", "the tunnel and the call"),
    Stage.LCP: ("LCP", "PPP's link, before the login"),
    Stage.AUTH: ("Authentication", "the login"),
    Stage.IPCP: ("IPCP", "the address"),
    Stage.FORWARD: ("Forwarding", "packets of a session that stands"),
    Stage.SESSION: ("End of a session", "why a session that stood is over"),
}


# --- troubleshooting -------------------------------------------------------------------------


def troubleshooting() -> str:
    check_messages()
    parts = [
        "# Troubleshooting\n",
        NOTICE,
        "Every refusal, drop and end of a session has one *reason*. It is the label `reason` of "
        "the metrics, the field `reason` of the log lines and what `ferrule probe` prints. Find "
        "yours [by what the client shows](#what-the-client-shows) or "
        "[by the reason](#the-reasons), in the order in which a connection is made.\n",
        "Where to look first:\n",
        "1. `ferrule probe HOST --psk-file FILE --user NAME --password-file FILE`, from another "
        "network: it connects as a client does, and names the stage that fails.\n"
        "2. The gateway's log: one line for each failed set-up, with the reason, what the client "
        "offered, and the remedy. If there is *no* line at all, nothing arrived: UDP ports 500 and "
        "4500 are closed on the way.\n"
        "3. `/metrics`: the counters by reason, for things that happen to many.\n",
        "Setting up a client anew is in [connect.md](connect.md).\n",
        "## What the client shows\n",
        *client_tables(),
        "## The reasons\n",
    ]
    for stage in Stage:
        title, what = STAGES[stage]
        parts.append(f"### {title}\n\nStage `{stage.value}`: {what}.\n")
        rows = [(reason, info) for reason, info in REASONS.items() if info.stage is stage]
        parts += [reason_entry(reason, info) for reason, info in rows]
    return "\n".join(parts)


def client_tables() -> Iterator[str]:
    for client, messages in CLIENT_MESSAGES.items():
        yield f"### {client}\n"
        lines = [
            "| it shows | which means | likely reasons | look first at |",
            "| --- | --- | --- | --- |",
        ]
        for message in messages:
            links = ", ".join(f"[{r.value}](#{r.value})" for r in dict.fromkeys(message.reasons))
            cells = message.shows, message.means, links or "none: nothing was sent", message.first
            lines.append(f"| {' | '.join(map(cell, cells))} |")
        yield "\n".join(lines) + "\n"


def reason_entry(reason: Reason, info: Info) -> str:
    lines = [f'<a id="{reason.value}"></a>**`{reason.value}`**: {info.summary}.']
    if info.shows:
        lines.append(f"- The client shows: {info.shows}.")
    lines.append(f"- Do: {info.remedy}." if info.remedy else "- Do: nothing.")
    return "\n".join(lines) + "\n"


def check_messages() -> None:
    """Each Windows error that a reason's `shows` names must have a row that names the reason."""
    known: dict[str, set[Reason]] = defaultdict(set)
    for message in CLIENT_MESSAGES["Windows"]:
        for code in re.findall(r"\b\d{3}\b", message.shows):
            known[code] |= set(message.reasons)
    wrong = [
        f"{reason.value} -> {code}"
        for reason, info in REASONS.items()
        for part in re.findall(r"Windows: error ([\d or]+)", info.shows)
        for code in re.findall(r"\d+", part)
        if reason not in known[code]
    ]
    if wrong:
        raise SystemExit(f"tools/client_messages.py lacks, for Windows: {', '.join(wrong)}")


# --- files -----------------------------------------------------------------------------------


def pages() -> dict[Path, str]:
    notes = list(remarks(SOURCE / "ferrule", SOURCE))
    protocol = DOCS / "protocol"
    made = {
        DOCS / "troubleshooting.md": troubleshooting(),
        protocol / "README.md": index_page(notes),
        protocol / "quirks.md": quirks_page(notes),
        protocol / "deviations.md": deviations_page(notes),
    }
    for layer, title in LAYERS.items():
        made[protocol / f"{layer}.md"] = protocol_page(layer, title, notes)
    return {path: text.rstrip("\n") + "\n" for path, text in made.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if a page is not current")
    check = parser.parse_args().check
    made = pages()
    stale = [path for path in (DOCS / "protocol").glob("*.md") if path not in made]
    wrong = 0
    for path, text in made.items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        wrong += 1
        name = str(path.relative_to(ROOT))
        if check:
            difference = unified_diff(
                old.splitlines(), text.splitlines(), name, "made now", lineterm=""
            )
            print("\n".join(list(difference)[:20]))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    for path in stale:
        wrong += 1
        print(f"{path.relative_to(ROOT)} is made by nothing" + ("" if check else ": removed"))
        if not check:
            path.unlink()
    if check and wrong:
        print(f"{wrong} generated pages are not current: run `make docs`")
        return 1
    print(f"{len(made)} pages are current")
    return 0


if __name__ == "__main__":
    sys.exit(main())
