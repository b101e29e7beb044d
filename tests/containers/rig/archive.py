"""An image in an OCI archive: its configuration, and its files as a container sees them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

_WHITEOUT = ".wh."


class Image:
    """The one image of an archive. `files` are the entries by path, those of the last layer that
    has them."""

    def __init__(self, archive: Path) -> None:
        self.octets = archive.stat().st_size
        self.files: dict[str, tarfile.TarInfo] = {}
        self.heads: dict[str, bytes] = {}  # the first octets of compiled Python
        with tarfile.open(archive) as self._tar:
            (manifest,) = self._json("index.json")["manifests"]
            content = self._json(self._blob(manifest["digest"]))
            whole = self._json(self._blob(content["config"]["digest"]))
            self.config: dict[str, Any] = whole["config"]
            for layer in content["layers"]:
                self._lay(self._read(self._blob(layer["digest"])))

    @staticmethod
    def _blob(digest: str) -> str:
        return "blobs/" + digest.replace(":", "/")

    def _read(self, name: str) -> bytes:
        file = self._tar.extractfile(name)
        assert file is not None
        return file.read()

    def _json(self, name: str) -> Any:
        return json.loads(self._read(name))

    def _lay(self, layer: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            for entry in tar:
                path = "/" + entry.name.strip("/")
                folder, _, name = path.rpartition("/")
                if name.startswith(_WHITEOUT):
                    gone = f"{folder}/{name.removeprefix(_WHITEOUT)}"
                    for known in [p for p in self.files if p == gone or p.startswith(f"{gone}/")]:
                        del self.files[known]
                    continue
                self.files[path] = entry
                if name.endswith(".pyc") and (file := tar.extractfile(entry)) is not None:
                    self.heads[path] = file.read(8)
