"""The API server, by the official client's transport: plain objects in and out.

Errors become ApiError, with the server's words but never with those about a Secret: the server
quotes values that it refuses.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration

from ferrule_operator.kinds import KINDS, Kind
from ferrule_operator.metrics import Metrics
from ferrule_operator.names import MANAGER
from ferrule_operator.objects import Object, name_of, namespace_of, uid_of, version_of

APPLY: Final = "application/apply-patch+yaml"
MERGE: Final = "application/merge-patch+json"
METADATA_ONLY: Final = (
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
)
PAGE: Final = 500
REQUEST_SECONDS: Final = 30.0
READ_AGAIN_SECONDS: Final = (0.1, 0.3, 1.0)
LONGEST_WAIT_SECONDS: Final = 2.0


class ApiError(Exception):
    """The API server, or the way to it, said no. `status` 0: no answer."""

    def __init__(
        self, status: int, reason: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{status or 'no answer'} {reason}: {message}".strip(": "))
        self.status: Final = status
        self.reason: Final = reason
        self.message: Final = message
        self.retry_after: Final = retry_after

    @property
    def missing(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Somebody else was quicker."""
        return self.status == 409

    @property
    def final(self) -> bool:
        """Trying the same again will not help."""
        return self.status in (400, 403, 405, 413, 415, 422)


class Api:
    """Requests of plain JSON."""

    def __init__(self, configuration: Configuration, metrics: Metrics) -> None:
        self._client = ApiClient(configuration)
        self._client.user_agent = MANAGER
        self._metrics = metrics

    async def close(self) -> None:
        await self._client.close()  # type: ignore[no-untyped-call]

    # --- reading

    async def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        try:
            return await self._read(kind, kind.path(namespace, name))
        except ApiError as error:
            if error.missing:
                return None
            raise

    async def list_all(
        self, kind: Kind, namespace: str = "", selector: str = "", *, metadata_only: bool = False
    ) -> list[Object]:
        """All pages. `metadata_only`: without spec, status and data."""
        query = {"limit": str(PAGE)}
        if selector or kind.selector:
            query["labelSelector"] = selector or kind.selector
        if kind.fields:
            query["fieldSelector"] = kind.fields
        found: list[Object] = []
        while True:
            page = await self._read(
                kind,
                kind.path(namespace),
                query=query,
                accept=METADATA_ONLY if metadata_only else "application/json",
            )
            for item in page.get("items") or ():
                item["kind"], item["apiVersion"] = kind.name, kind.api_version
                found.append(item)
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return found
            query["continue"] = token

    async def serves(self, kind: Kind) -> bool:
        """Is there such a resource? For a definition that is not installed yet."""
        try:
            group = await self._read(kind, f"/apis/{kind.group}/{kind.version}")
        except ApiError as error:
            if error.missing:
                return False
            raise
        return any(row.get("name") == kind.plural for row in group.get("resources") or ())

    # --- writing

    async def apply(self, wanted: Object) -> Object:
        """Server-side apply; ours wins."""
        kind = KINDS[wanted["kind"]]
        return await self._request(
            "PATCH",
            kind,
            kind.path(namespace_of(wanted), name_of(wanted)),
            query={"fieldManager": MANAGER, "force": "true"},
            body=wanted,
            content=APPLY,
        )

    async def create(self, wanted: Object) -> Object:
        """409 where it is there already."""
        kind = KINDS[wanted["kind"]]
        return await self._request(
            "POST",
            kind,
            kind.path(namespace_of(wanted)),
            query={"fieldManager": MANAGER},
            body=wanted,
        )

    async def replace(self, wanted: Object) -> Object:
        """409 where somebody wrote since `wanted` was read."""
        kind = KINDS[wanted["kind"]]
        path = kind.path(namespace_of(wanted), name_of(wanted))
        query = {"fieldManager": MANAGER}
        return await self._request("PUT", kind, path, query=query, body=wanted)

    async def delete(self, live: Object) -> None:
        """This very object, not one of the same name; one that is gone is fine."""
        kind = KINDS[live["kind"]]
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid_of(live)},
        }
        path = kind.path(namespace_of(live), name_of(live))
        try:
            await self._request("DELETE", kind, path, body=body)
        except ApiError as error:
            if not error.missing and not error.conflict:
                raise

    async def patch_status(self, live: Object, patch: Mapping[str, Any]) -> Object:
        """Merge into the status."""
        kind = KINDS[live["kind"]]
        return await self._request(
            "PATCH",
            kind,
            kind.path(namespace_of(live), name_of(live), "status"),
            query={"fieldManager": MANAGER},
            body={"status": dict(patch)},
            content=MERGE,
        )

    async def set_finalizers(self, live: Object, finalizers: list[str]) -> Object:
        """409 where somebody else wrote meanwhile: a list is replaced as a whole."""
        kind = KINDS[live["kind"]]
        body = {"metadata": {"resourceVersion": version_of(live), "finalizers": finalizers}}
        return await self._request(
            "PATCH",
            kind,
            kind.path(namespace_of(live), name_of(live)),
            query={"fieldManager": MANAGER},
            body=body,
            content=MERGE,
        )

    # --- the request

    async def _read(
        self,
        kind: Kind,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
    ) -> Object:
        """A GET, tried again a few times: one bad moment is no reason to begin a turn anew."""
        for wait in (*READ_AGAIN_SECONDS, None):
            try:
                return await self._request("GET", kind, path, query=query, accept=accept)
            except ApiError as error:
                if wait is None or not (error.status == 429 or error.status >= 500):
                    raise
                await asyncio.sleep(min(error.retry_after or wait, LONGEST_WAIT_SECONDS))
        raise AssertionError("the last try returns or raises")

    async def _request(
        self,
        method: str,
        kind: Kind,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content
        method, url, headers, _, _ = await self._client.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            auth_settings=["BearerToken"],
        )
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        try:
            response = await self._client.rest_client.request(  # type: ignore[no-untyped-call]
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
            octets = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._metrics.api_answered(method, kind.plural, 0)
            raise ApiError(0, type(error).__name__, f"{method} {path}") from error
        self._metrics.api_answered(method, kind.plural, response.status)
        if response.status >= 300:
            raise _error(kind, response.status, response.headers, octets)
        answer: Object = json.loads(octets)
        return answer


def _error(kind: Kind, status: int, headers: Mapping[str, str], octets: bytes) -> ApiError:
    reason, message = "", ""
    try:
        answer = json.loads(octets)
        reason, message = str(answer.get("reason", "")), str(answer.get("message", ""))
    except (ValueError, AttributeError):
        message = octets[:200].decode(errors="replace")
    if kind.name == "Secret":
        message = "the server's words are left out: they may quote a secret"
    after = headers.get("Retry-After", "")
    return ApiError(status, reason, message, float(after) if after.isdecimal() else None)
