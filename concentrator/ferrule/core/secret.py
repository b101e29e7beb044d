"""Octets that must not be seen: keys, passwords. The repr is masked; `==` is refused."""

from __future__ import annotations

from typing import final


@final
class Secret:
    """Wraps secret octets. Read them with `reveal()`; compare with `ferrule.crypto.equal`."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes) -> None:
        self._octets = octets

    def reveal(self) -> bytes:
        return self._octets

    def __len__(self) -> int:
        return len(self._octets)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        raise TypeError("compare secrets with ferrule.crypto.compare.equal")

    __hash__ = None  # type: ignore[assignment]
