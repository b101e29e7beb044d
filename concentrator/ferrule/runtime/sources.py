"""Where the configuration comes from: the file named at the start, or a newer one handed in.

In a pod the files are a mounted Secret, which the kubelet may bring up to date a minute late. So
an operator also hands them in (`remote.py`), and they are kept in a folder beside, in memory.
Files NAME.revision hold numbers that only grow; what is handed in counts until the mounted files
have caught up with each of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FILES_MAX: Final = 64
_NAME: Final = re.compile(r"[a-z0-9][-a-z0-9.]{0,62}")
_SUFFIX: Final = ".revision"
_CURRENT: Final = "current"


class Sources:
    """The configuration's two homes. `handed_in` None: there is only the one named at the start."""

    def __init__(self, file: Path, handed_in: Path | None = None) -> None:
        self._mounted = file
        self._folder = handed_in

    @property
    def file(self) -> Path:
        """The configuration file to load now."""
        newer = self._handed_in_file()
        if newer is None or _covers(revisions(self._mounted.parent), revisions(newer.parent)):
            return self._mounted
        return newer

    def watched(self) -> tuple[Path, ...]:
        """Files beside the configuration's own whose change may make another one count."""
        return (self._mounted, *sorted(self._mounted.parent.glob(f"*{_SUFFIX}")))

    def stage(self, files: Mapping[str, str]) -> Path:
        """Write files that are handed in; returns their configuration file, to be tried.

        Then `adopt` or `discard` it. Raises ValueError for what can't be a set of files, and for
        one that is older than what counts now; OSError if it can't be written."""
        if self._folder is None:
            raise ValueError("this concentrator takes no configuration")
        if not 0 < len(files) <= FILES_MAX or not all(map(_NAME.fullmatch, files)):
            raise ValueError("the files have no proper names, or are too many")
        if self._mounted.name not in files:
            raise ValueError(f"{self._mounted.name} is not among the files")
        if not _covers(revisions_of(files), revisions(self.file.parent)):
            raise ValueError("these files are older than those that count")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="set-", dir=self._folder))
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        return folder / self._mounted.name

    def adopt(self, staged: Path) -> None:
        """From now on these files count."""
        assert self._folder is not None
        link = self._folder / f"{_CURRENT}.new"
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(staged.parent.name)
        os.replace(link, self._folder / _CURRENT)
        for other in self._folder.glob("set-*"):
            if other != staged.parent:
                shutil.rmtree(other, ignore_errors=True)

    def discard(self, staged: Path) -> None:
        """They can't be used."""
        shutil.rmtree(staged.parent, ignore_errors=True)

    def _handed_in_file(self) -> Path | None:
        if self._folder is None:
            return None
        # Resolved, so that all files of one load are of one set.
        file = (self._folder / _CURRENT).resolve() / self._mounted.name
        return file if file.is_file() else None


def revisions(folder: Path) -> dict[str, int]:
    """What the files NAME.revision of `folder` say; a file that says no number is left out."""
    found: dict[str, str] = {}
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found[path.name] = path.read_text(encoding="utf-8")
    return revisions_of(found)


def revisions_of(files: Mapping[str, str]) -> dict[str, int]:
    """The same of files that are not written."""
    return {
        name.removesuffix(_SUFFIX): int(text)
        for name, text in files.items()
        if name.endswith(_SUFFIX) and text.isascii() and text.strip().isdecimal()
    }


def _covers(newer: Mapping[str, int], older: Mapping[str, int]) -> bool:
    return all(newer.get(name, -1) >= number for name, number in older.items())
