"""Files that change: written, replaced by a link as mounted Secrets are, removed, come back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from ferrule.runtime.watch import signature, watch

EVERY = 0.02


def test_the_signature_changes_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    absent = signature([file])
    file.write_text("one")
    one = signature([file])
    os.utime(file, ns=(1, 1))
    touched = signature([file])
    file.unlink()
    assert len({absent, one, touched}) == 3
    assert signature([file]) == absent


def test_a_swapped_link_is_a_change(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text("same")
        os.utime(tmp_path / name / "config.yaml", ns=(5, 5))
    link = tmp_path / "current"
    link.symlink_to("old")
    before = signature([link / "config.yaml"])
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(link)
    assert signature([link / "config.yaml"]) != before


async def test_each_change_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("one")
    told: asyncio.Queue[str] = asyncio.Queue()

    async def changed() -> None:
        told.put_nowait(file.read_text())

    task = asyncio.ensure_future(watch(lambda: [file], changed, EVERY))
    try:
        await asyncio.sleep(0)
        for text in ("two", "three"):
            file.write_text(text)
            assert await asyncio.wait_for(told.get(), 5) == text
        await asyncio.sleep(5 * EVERY)
        assert told.empty()
    finally:
        task.cancel()
