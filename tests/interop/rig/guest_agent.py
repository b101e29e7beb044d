"""Runs in a guest: carries out the commands that come over the serial line.

One JSON object a line each way. A request has `id` and `verb`; its reply repeats `id` and tells the
guest's monotonic clock at start and end. Requests run at the same time, each in its own thread.
What daemons print, and what is written into pipes made by `listen`, is kept as one journal of
(time, source, line), so that a test can wait for a line and knows when it was printed.
Standard library only: the interpreter is the host's, seen through hostfs.
"""

import base64
import json
import os
import queue
import re
import signal
import subprocess
import sys
import termios
import threading
import time
import traceback
import tty
from typing import Any

Fields = dict[str, Any]

children: dict[int, subprocess.Popen[bytes]] = {}
replies: "queue.SimpleQueue[bytes]" = queue.SimpleQueue()
journal: list[tuple[float, str, str]] = []
journal_grew = threading.Condition()


def follow(source: str, descriptor: int) -> None:
    """Put each line that comes from a descriptor into the journal, until it is closed."""
    pending = b""
    while data := os.read(descriptor, 65536):
        now = time.monotonic()
        *lines, pending = (pending + data).split(b"\n")
        with journal_grew:
            journal.extend((now, source, line.decode(errors="replace")) for line in lines)
            journal_grew.notify_all()
    os.close(descriptor)


def run(request: Fields) -> Fields:
    """Run `argv` to its end, or for `timeout` seconds; output is both streams in one."""
    child = subprocess.Popen(
        request["argv"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=request.get("timeout", 60))
        status = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        output, _ = child.communicate()
        status = None
    return {"status": status, "output": output.decode(errors="replace")}


def start(request: Fields) -> Fields:
    """Start `argv` as a daemon whose output goes to the journal as from `source`."""
    child = subprocess.Popen(
        request["argv"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert child.stdout is not None
    children[child.pid] = child
    descriptor = os.dup(child.stdout.fileno())
    threading.Thread(target=follow, args=(request["source"], descriptor), daemon=True).start()
    return {"pid": child.pid}


def listen(request: Fields) -> Fields:
    """Make the pipe `path`; what is written to it goes to the journal as from `source`."""
    os.mkfifo(request["path"])
    pipe = os.open(request["path"], os.O_RDWR)  # for writing too, so that it is never at its end
    threading.Thread(target=follow, args=(request["source"], pipe), daemon=True).start()
    return {}


def stop(request: Fields) -> Fields:
    """Send `signal` to a daemon's process group and wait for its end; SIGKILL after `timeout`."""
    child = children.pop(request["pid"])
    if child.poll() is None:
        os.killpg(child.pid, request.get("signal", signal.SIGTERM))
    try:
        child.wait(request.get("timeout", 5))
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    return {"status": child.returncode}


def poll(request: Fields) -> Fields:
    """The exit status of a daemon, or nothing while it runs."""
    return {"status": children[request["pid"]].poll()}


def write(request: Fields) -> Fields:
    """Make a file with its folders."""
    path = request["path"]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.fchmod(descriptor, request.get("mode", 0o600))
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64decode(request["data"]))
    return {}


def read(request: Fields) -> Fields:
    """What a file holds; a file that is not there is empty."""
    try:
        with open(request["path"], "rb") as file:
            data = file.read()
    except FileNotFoundError:
        data = b""
    return {"text": data.decode(errors="replace")}


def mark(_request: Fields) -> Fields:
    """Where the journal ends now."""
    return {"mark": len(journal)}


def lines(request: Fields) -> Fields:
    """The journal from `since` on."""
    return {"lines": journal[request.get("since", 0) :]}


def await_line(request: Fields) -> Fields:
    """Wait for a line that `pattern` is found in, at or after `since`, from `source` if given."""
    pattern = re.compile(request["pattern"])
    source = request.get("source")
    position = request.get("since", 0)
    end = time.monotonic() + request.get("timeout", 10)
    with journal_grew:
        while True:
            while position < len(journal):
                at, origin, text = journal[position]
                position += 1
                if (source is None or origin == source) and (match := pattern.search(text)):
                    return {"at": at, "line": text, "groups": match.groups(), "mark": position}
            remaining = end - time.monotonic()
            if remaining <= 0:
                return {"at": None, "line": None, "groups": [], "mark": position}
            journal_grew.wait(remaining)


def await_path(request: Fields) -> Fields:
    """Wait until `path` exists, or (with `gone`) until it does not."""
    end = time.monotonic() + request.get("timeout", 10)
    gone = request.get("gone", False)
    while os.path.exists(request["path"]) == gone:
        if time.monotonic() > end:
            return {"reached": False}
        time.sleep(0.01)
    return {"reached": True}


VERBS = {
    "run": run,
    "start": start,
    "listen": listen,
    "stop": stop,
    "poll": poll,
    "write": write,
    "read": read,
    "mark": mark,
    "lines": lines,
    "await_line": await_line,
    "await_path": await_path,
}


def serve(request: Fields) -> None:
    """Carry out one request; whatever goes wrong is the reply's `error`."""
    began = time.monotonic()
    try:
        reply = VERBS[request["verb"]](request)
    except Exception:  # noqa: BLE001  the caller gets the traceback; the agent must live on
        reply = {"error": traceback.format_exc()}
    reply |= {"id": request["id"], "began": began, "ended": time.monotonic()}
    replies.put(json.dumps(reply).encode() + b"\n")


def send(line: int) -> None:
    """Write replies one after the other."""
    while True:
        data = memoryview(replies.get())
        while data:
            data = data[os.write(line, data) :]


def main() -> None:
    """Serve until the host closes the line."""
    line = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
    tty.setraw(line, termios.TCSANOW)
    threading.Thread(target=send, args=(line,), daemon=True).start()
    replies.put(json.dumps({"id": 0, "began": 0.0, "ended": time.monotonic()}).encode() + b"\n")
    pending = b""
    while data := os.read(line, 65536):
        *requests, pending = (pending + data).split(b"\n")
        for text in requests:
            threading.Thread(target=serve, args=(json.loads(text),), daemon=True).start()


if __name__ == "__main__":
    main()
