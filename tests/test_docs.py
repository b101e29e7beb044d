"""The documents: links lead somewhere, names exist. (`make check` compares generated pages.)"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LAYERS = {path.name for path in (ROOT / "concentrator" / "ferrule").iterdir() if path.is_dir()}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Of headings, as the usual renderers make them, and of explicit ids."""
    text = prose(page)
    found = set(re.findall(r'<a id="([^"]+)">', text))
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"[`*\[\]]", "", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert not dead


def resolves(name: str) -> bool:
    """Is this dotted name, below `ferrule`, a module or something in one?"""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        module = ".".join(["ferrule", *parts[:count]])
        try:
            found: object = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_the_architecture_names_what_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    names = {
        name for name in re.findall(r"[a-z]\w*(?:\.\w+)+", text) if name.split(".")[0] in LAYERS
    }
    assert len(names) > 50
    assert sorted(name for name in names if not resolves(name)) == []
    for path in re.findall(r"`((?:tests|docs)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
