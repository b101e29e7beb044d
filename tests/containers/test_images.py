"""The images: who they run as, what is in them, what is not, and that they come out the same."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable

import pytest

from containers.rig.archive import Image

MEGABYTE = 1_000_000
TOOLS = re.compile(
    r"^(/usr)?(/local)?/s?bin/(gcc|g\+\+|cc|c\+\+|cpp|ld|as|make|rustc|cargo|go|pip3?|git|curl|wget)"
    r"(-[\d.]+)?$"
)
UNCHECKED_HASH = b"\x01\0\0\0"  # PEP 552: no time in it, and believed without a look at the source

BOTH = pytest.mark.parametrize("name", ["concentrator", "operator"])
GetImage = Callable[[str], Image]


@BOTH
def test_it_runs_as_nobody_in_particular(name: str, archive_of: GetImage) -> None:
    config = archive_of(name).config
    assert config["User"] == "65532:65532"
    assert (
        config["Entrypoint"]
        == {"concentrator": ["ferrule"], "operator": ["ferrule-operator"]}[name]
    )
    assert "PYTHONDONTWRITEBYTECODE=1" in config["Env"]


@BOTH
def test_it_is_small_and_brings_no_tools(name: str, archive_of: GetImage) -> None:
    image = archive_of(name)
    assert image.octets < 100 * MEGABYTE
    assert [path for path in image.files if TOOLS.search(path)] == []
    packages = [path for path in image.files if "/site-packages/" in path]
    assert not [p for p in packages if re.search(r"/(pip|setuptools|hatchling|pytest)/", p)]


@BOTH
def test_each_has_its_own_program(name: str, archive_of: GetImage) -> None:
    files = archive_of(name).files
    programs = {path.rpartition("/")[2] for path in files if path.startswith("/opt/ferrule/bin/f")}
    assert programs == {"ferrule"} | ({"ferrule-operator"} if name == "operator" else set())
    there = {part for part in ("nft", "kopf") if any(path.endswith(f"/{part}") for path in files)}
    assert there == {"concentrator": {"nft"}, "operator": {"kopf"}}[name]


@BOTH
def test_no_file_gives_more_rights_than_debian_does(name: str, archive_of: GetImage) -> None:
    own = {path: e for path, e in archive_of(name).files.items() if path.startswith("/opt/")}
    assert own
    assert [
        p
        for p, e in own.items()
        if e.mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH) and not e.issym()
    ] == []
    assert {(entry.uid, entry.gid) for entry in own.values()} == {(0, 0)}


@BOTH
def test_the_same_comes_out_each_time(name: str, archive_of: GetImage) -> None:
    """Of times there are Debian's and the commit's. What was built twice was the same to the bit;
    this watches over what could end that."""
    image = archive_of(name)
    own = {path: e for path, e in image.files.items() if path.startswith("/opt/")}
    assert len({entry.mtime for entry in own.values()}) == 1
    assert len(image.heads) > 500
    assert [path for path, head in image.heads.items() if head[4:] != UNCHECKED_HASH] == []
    traces = re.compile(
        r"^/(var/lib/apt/lists|var/cache/(apt|debconf|ldconfig)|var/log/apt|root/\.cache|tmp)/."
    )
    assert [path for path in image.files if traces.match(path)] == []
