"""`python -m ferrule_operator.uninstall`: deletes gateways and users, and waits for their end.

The chart runs it before an uninstall. Helm takes the operator away before the gateways, and then
nobody would be left to let their pods say goodbye and to take the finalizer off.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import Final

import structlog

from ferrule_operator.api import Api, ApiError
from ferrule_operator.kinds import GATEWAY, USER, Kind
from ferrule_operator.logs import configure_logging
from ferrule_operator.main import api_configuration
from ferrule_operator.metrics import Metrics
from ferrule_operator.objects import Object, deleting, ref_of

POLL_SECONDS: Final = 1.0


def main() -> None:
    """The command. Exit status: 0 all gone, 1 not in time, or refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--namespace", action="append", default=[], help="repeatable; none: all")
    parser.add_argument("--selector", default="", help="labels of what is deleted; none: all")
    parser.add_argument("--timeout", type=float, default=240.0, help="seconds")
    wanted = parser.parse_args()
    configure_logging("info")
    raise SystemExit(
        asyncio.run(_run(tuple(wanted.namespace), wanted.selector, float(wanted.timeout)))
    )


async def _run(namespaces: Sequence[str], selector: str, timeout: float) -> int:
    api = Api(await api_configuration(), Metrics())
    try:
        async with asyncio.timeout(timeout):
            await delete_all(api, namespaces, selector)
    except ApiError as error:
        sys.stderr.write(f"ferrule_operator.uninstall: {error}\n")
        return 1
    except TimeoutError:
        sys.stderr.write(f"ferrule_operator.uninstall: not done within {timeout:.0f} s\n")
        return 1
    finally:
        await api.close()
    return 0


async def delete_all(
    api: Api, namespaces: Sequence[str], selector: str, poll_seconds: float = POLL_SECONDS
) -> None:
    """Returns when there is nothing left; raises ApiError where it must not delete or list.

    `namespaces` empty: all. Users go after the gateways: sessions end by a goodbye, not for want
    of an account.
    """
    log = structlog.get_logger("ferrule_operator")
    for kind in (GATEWAY, USER):
        while left := await _list(api, kind, namespaces, selector):
            for item in left:
                if not deleting(item):
                    log.info("deleting", object=str(ref_of(item)))
                    await api.delete(item)
            await asyncio.sleep(poll_seconds)


async def _list(api: Api, kind: Kind, namespaces: Sequence[str], selector: str) -> list[Object]:
    found: list[Object] = []
    for namespace in namespaces or ("",):
        found += await api.list_all(kind, namespace, selector, metadata_only=True)
    return found


if __name__ == "__main__":
    main()
