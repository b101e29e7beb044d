"""Which files count: those mounted, or newer ones that were handed in."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferrule.runtime.sources import Sources, revisions


def fill(folder: Path, text: str, **numbers: int) -> dict[str, str]:
    files = {"gateway.yaml": text} | {f"{k}.revision": f"{v}\n" for k, v in numbers.items()}
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    return files


def files(text: str, **numbers: int) -> dict[str, str]:
    return {"gateway.yaml": text} | {f"{k}.revision": str(v) for k, v in numbers.items()}


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    folder = tmp_path / "mounted"
    fill(folder, "mounted", config=5, users=7)
    return folder


@pytest.fixture
def sources(tmp_path: Path, mounted: Path) -> Sources:
    return Sources(mounted / "gateway.yaml", tmp_path / "run" / "remote")


def hand_in(sources: Sources, text: str, **numbers: int) -> None:
    sources.adopt(sources.stage(files(text, **numbers)))


def test_mounted_files_count_at_first(sources: Sources, mounted: Path) -> None:
    assert sources.file == mounted / "gateway.yaml"


@pytest.mark.parametrize(
    ("numbers", "which"),
    [
        ({"config": 5, "users": 7}, "handed in, the same"),
        ({"config": 5, "users": 8}, "handed in"),
        ({"config": 6, "users": 7}, "handed in"),
        ({"config": 5, "users": 7, "users-1": 1}, "handed in"),
    ],
)
def test_newer_files_count_until_the_mount_has_caught_up(
    sources: Sources, mounted: Path, numbers: dict[str, int], which: str
) -> None:
    hand_in(sources, "handed in", **numbers)
    expected = "mounted" if which.endswith("the same") else "handed in"
    assert sources.file.read_text() == expected
    fill(mounted, "mounted later", **numbers)
    assert sources.file.read_text() == "mounted later"


def test_a_mount_that_has_caught_up_in_part_does_not_count(sources: Sources, mounted: Path) -> None:
    """Several Secrets are mounted as one folder, and not all renewed at one moment."""
    hand_in(sources, "handed in", config=5, users=9)
    fill(mounted, "half", config=10, users=7)
    assert sources.file.read_text() == "handed in"


def test_older_files_are_refused(sources: Sources) -> None:
    hand_in(sources, "handed in", config=5, users=9)
    for numbers in ({"config": 5, "users": 8}, {"config": 5}, {}):
        with pytest.raises(ValueError, match="older"):
            sources.stage(files("old", **numbers))
    assert sources.file.read_text() == "handed in"


def test_what_is_staged_does_not_count_yet(sources: Sources, mounted: Path) -> None:
    staged = sources.stage(files("tried", config=5, users=9))
    assert staged.read_text() == "tried"
    assert staged.parent.stat().st_mode & 0o077 == 0
    assert sources.file == mounted / "gateway.yaml"
    sources.discard(staged)
    assert not staged.parent.exists()


def test_only_the_last_set_is_kept(sources: Sources, tmp_path: Path) -> None:
    for number in (8, 9, 10):
        hand_in(sources, str(number), config=5, users=number)
    assert sources.file.read_text() == "10"
    assert len(list((tmp_path / "run" / "remote").glob("set-*"))) == 1


def test_a_restart_finds_what_was_handed_in(
    sources: Sources, mounted: Path, tmp_path: Path
) -> None:
    hand_in(sources, "handed in", config=5, users=9)
    again = Sources(mounted / "gateway.yaml", tmp_path / "run" / "remote")
    assert again.file.read_text() == "handed in"


@pytest.mark.parametrize(
    "names", [[], ["users.yaml"], ["gateway.yaml", "../x"], ["gateway.yaml", "a/b"], ["", ".x"]]
)
def test_names_that_lead_elsewhere_are_refused(sources: Sources, names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"proper names|not among"):
        sources.stage(dict.fromkeys(names, "text") | {"config.revision": "9"} if names else {})


def test_without_a_folder_nothing_is_taken(mounted: Path) -> None:
    sources = Sources(mounted / "gateway.yaml")
    with pytest.raises(ValueError, match="takes no configuration"):
        sources.stage(files("x", config=9, users=9))
    assert sources.file == mounted / "gateway.yaml"


def test_revisions_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "x", good=3)
    (tmp_path / "bad.revision").write_text("newest")
    (tmp_path / "worse.revision").write_bytes(b"\xff")
    assert revisions(tmp_path) == {"good": 3}


def test_the_numbers_are_watched(sources: Sources, mounted: Path) -> None:
    assert set(sources.watched()) == {
        mounted / "gateway.yaml",
        mounted / "config.revision",
        mounted / "users.revision",
    }
