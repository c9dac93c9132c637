"""A stand-in for a cluster's API server over HTTP on loopback, with the paths that Squire uses, and faults on demand.

It keeps objects with resource versions, answers watches with bookmarks, 410 for a version that it has forgotten, 409
for a name that is taken and Status bodies as the API documents them; it makes a Job's pod as the controller does,
removes what belongs to what was deleted, and lets a pod end by itself before it goes. What a pod does, a plan says:
`stand_in_pods`. Shapes of its answers are compared with recorded ones of a real server.
"""

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

NAMESPACE = "squire-agents"
_KINDS = {"jobs": ("batch/v1", "Job"), "pods": ("v1", "Pod"), "secrets": ("v1", "Secret"), "events": ("v1", "Event")}
_BOOKMARK_S = 1.0
_REASONS = {404: "NotFound", 409: "AlreadyExists", 403: "Forbidden", 410: "Expired", 422: "Invalid", 400: "BadRequest"}


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def status_body(code: int, message: str, *, reason: str = "", details: dict[str, str] | None = None) -> dict[str, Any]:
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason or _REASONS.get(code, "InternalError"),
        "code": code,
    }
    return body | ({"details": details} if details else {})


@dataclass
class PodLogFile:
    """A container's log: lines with their times, and whether more may come."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    is_over: bool = False


class StandInCluster:
    """`with StandInCluster(plan) as cluster:` serves at `cluster.url`; `plan` is started in a thread for each pod.

    Faults: `is_away` closes each connection without an answer; `refusals` answers (method, kind) with a status and a
    message; `quota` refuses pods; `forget` makes all older versions expired; `cut_streams` ends open watches and logs.
    """

    def __init__(self, plan: Callable[["StandInCluster", str], None] | None = None) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.logs: dict[str, PodLogFile] = {}
        self.requests: list[tuple[str, str]] = []
        self.refusals: dict[tuple[str, str], tuple[int, str]] = {}
        self.denied: set[tuple[str, str]] = set()
        self.pod_security: str | None = "restricted"
        self.is_away = False
        self.quota = ""
        self._plan = plan
        self._version = 1
        self._oldest = 1
        self._changes: list[tuple[int, str, str, dict[str, Any]]] = []
        self._streams = 0
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                cluster.serve(self)

            do_GET = do_POST = do_DELETE = handle_any  # noqa: N815 - the library's names

            def log_message(self, *_args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_streams()
        self._server.shutdown()
        self._server.server_close()

    def kubeconfig(self, path: Path) -> Path:
        document = {
            "current-context": "test",
            "clusters": [{"name": "c", "cluster": {"server": self.url}}],
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "not-a-secret"}}],
        }
        path.write_text(json.dumps(document), encoding="utf-8")  # JSON is YAML
        return path

    # ---- what plans and tests do

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        with self.lock:
            return self.objects.get((kind, name))

    def names(self, kind: str) -> list[str]:
        with self.lock:
            return [name for of_kind, name in self.objects if of_kind == kind]

    def wait_for(self, is_so: Callable[[], bool], timeout_s: float = 20.0) -> bool:
        with self.lock:
            return self.lock.wait_for(is_so, timeout_s)

    def put(self, kind: str, item: dict[str, Any], *, event: str = "MODIFIED") -> None:
        """Store an object with a new version, and tell those who watch."""
        with self.lock:
            self._version += 1
            item["metadata"]["resourceVersion"] = str(self._version)
            copy = json.loads(json.dumps(item))
            if event == "DELETED":
                self.objects.pop((kind, item["metadata"]["name"]), None)
            else:
                self.objects[kind, item["metadata"]["name"]] = copy
            self._changes.append((self._version, event, kind, copy))
            self.lock.notify_all()

    def set_pod(self, name: str, **status: Any) -> None:
        """Change fields of a pod's status, if it is still there."""
        with self.lock:
            pod = self.objects.get(("pods", name))
            if pod is not None:
                self.put("pods", pod | {"status": pod["status"] | status})

    def write_log(self, pod: str, *lines: str, stamp: str | None = None) -> None:
        with self.lock:
            log = self.logs.setdefault(pod, PodLogFile())
            for line in lines:
                nanoseconds = time.time_ns()
                moment = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
                log.lines.append((stamp or f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09d}Z", line))
            self.lock.notify_all()

    def report(self, about: str, kind: str, reason: str, message: str) -> None:
        """Record an event about an object."""
        name = f"{about}.{uuid.uuid4().hex[:8]}"
        item = {
            "metadata": {"name": name, "namespace": NAMESPACE, "creationTimestamp": now()},
            "involvedObject": {"kind": kind, "name": about, "namespace": NAMESPACE},
            "reason": reason,
            "message": message,
            "type": "Warning",
        }
        self.put("events", item, event="ADDED")

    def is_deleted(self, pod: str) -> bool:
        """Return whether a pod is gone or is asked to end."""
        with self.lock:
            item = self.objects.get(("pods", pod))
            return item is None or "deletionTimestamp" in item["metadata"]

    def remove_pod(self, name: str) -> None:
        """Remove a pod from the API, as its node does when it has ended, and what waited for it."""
        with self.lock:
            pod = self.objects.get(("pods", name))
            if pod is None:
                return
            self.put("pods", pod, event="DELETED")
            for owner in pod["metadata"].get("ownerReferences", ()):
                job = self.objects.get(("jobs", owner["name"]))
                if job is not None and "deletionTimestamp" in job["metadata"]:
                    self._remove_job(job)

    def fail_job(self, name: str, reason: str, message: str) -> None:
        with self.lock:
            job = self.objects.get(("jobs", name))
            if job is not None:
                condition = {"type": "Failed", "status": "True", "reason": reason, "message": message}
                self.put("jobs", job | {"status": {"conditions": [condition], "failed": 1}})

    def forget(self) -> None:
        """Let every version before now be too old for a watch."""
        with self.lock:
            self._oldest = self._version + 2
            self._version += 1
            self._changes.clear()

    def cut_streams(self) -> None:
        with self.lock:
            self._streams += 1
            self.lock.notify_all()

    # ---- the server

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        with self.lock:
            self.requests.append((request.command, request.path))
        if self.is_away:
            with contextlib.suppress(OSError):
                request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True
            return
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        with contextlib.suppress(OSError):
            self._route(request, parts.path, query, json.loads(body) if body else {})

    def _route(self, request: BaseHTTPRequestHandler, path: str, query: dict[str, str], body: dict[str, Any]) -> None:
        segments = path.strip("/").split("/")
        if "namespaces" in segments and len(segments) > segments.index("namespaces") + 2:
            self._route_object(request, segments[segments.index("namespaces") + 2 :], query, body)
        else:
            _answer(request, *self._about_server(segments, body))

    def _about_server(self, segments: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if segments == ["version"]:
            return 200, {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}
        if segments[-1] == "selfsubjectaccessreviews":
            return 201, self._review(body)
        if segments[:3] == ["api", "v1", "namespaces"]:
            labels = {"pod-security.kubernetes.io/enforce": self.pod_security} if self.pod_security else {}
            return 200, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": segments[3], "labels": labels}}
        return 404, status_body(404, "the server could not find the requested resource")

    def _route_object(
        self, request: BaseHTTPRequestHandler, rest: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> None:
        kind, name = rest[0], rest[1] if len(rest) > 1 else ""
        refusal = self.refusals.get((request.command, kind))
        if refusal is not None:
            _answer(request, refusal[0], status_body(refusal[0], refusal[1], details={"kind": kind}))
        elif rest[2:] == ["log"]:
            self._send_log(request, name, query)
        elif query.get("watch") == "true":
            self._send_watch(request, kind, query)
        else:
            _answer(request, *self._answer_of(request.command, kind, name, query, body))

    def _answer_of(
        self, method: str, kind: str, name: str, query: dict[str, str], body: dict[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        if method == "POST":
            return self._create(kind, body)
        if method == "DELETE":
            return self._delete(kind, name, body)
        if not name:
            return 200, self._list(kind, query)
        item = self.get(kind, name)
        return (200, self._typed(kind, item)) if item is not None else _missing(kind, name)

    def _review(self, body: dict[str, Any]) -> dict[str, Any]:
        wish = body["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (wish["resource"], wish.get("subresource"))))
        return body | {"status": {"allowed": (wish["verb"], resource) not in self.denied}}

    def _typed(self, kind: str, item: dict[str, Any]) -> dict[str, Any]:
        version, name = _KINDS[kind]
        return {"kind": name, "apiVersion": version} | item

    def _list(self, kind: str, query: dict[str, str]) -> dict[str, Any]:
        with self.lock:
            items = [item for (of_kind, _), item in self.objects.items() if of_kind == kind and _fits(item, query)]
            version, name = _KINDS[kind]
            metadata = {"resourceVersion": str(self._version)}
            return {"kind": f"{name}List", "apiVersion": version, "metadata": metadata, "items": items}

    def _create(self, kind: str, item: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            name = item["metadata"]["name"]
            if (kind, name) in self.objects:
                message = f'{kind}{".batch" if kind == "jobs" else ""} "{name}" already exists'
                return 409, status_body(409, message, details={"name": name, "kind": kind})
            item["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "namespace": NAMESPACE}
            item.setdefault("status", {})
            self.put(kind, item, event="ADDED")
            if kind == "jobs":
                self._make_pod(item)
            return 201, self._typed(kind, item)

    def _make_pod(self, job: dict[str, Any]) -> None:
        job_name = job["metadata"]["name"]
        if self.quota:
            self.report(job_name, "Job", "FailedCreate", self.quota)
            return
        template = job["spec"]["template"]
        name = f"{job_name}-{uuid.uuid4().hex[:5]}"
        metadata = {
            **json.loads(json.dumps(template["metadata"])),
            "name": name,
            "namespace": NAMESPACE,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": now(),
            "ownerReferences": [{"kind": "Job", "name": job_name, "uid": job["metadata"]["uid"], "controller": True}],
        }
        self.put(
            "pods", {"metadata": metadata, "spec": template["spec"], "status": {"phase": "Pending"}}, event="ADDED"
        )
        if self._plan is not None:
            threading.Thread(target=self._plan, args=(self, name), daemon=True).start()

    def _delete(self, kind: str, name: str, options: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        with self.lock:
            item = self.objects.get((kind, name))
            if item is None:
                return _missing(kind, name)
            if kind == "jobs":
                if options.get("propagationPolicy") == "Foreground" and self._pods_of(name):
                    item["metadata"] |= {"deletionTimestamp": now(), "finalizers": ["foregroundDeletion"]}
                    self.put("jobs", item)
                else:
                    self._remove_job(item)
                for pod in self._pods_of(name):
                    self._ask_to_end(pod, None)
            elif kind == "pods":
                self._ask_to_end(item, options.get("gracePeriodSeconds"))
            else:
                self.put(kind, item, event="DELETED")
            return 200, status_body(200, "") | {"status": "Success", "reason": ""}

    def _remove_job(self, job: dict[str, Any]) -> None:
        self.put("jobs", job, event="DELETED")
        uid = job["metadata"]["uid"]
        for (kind, _), item in list(self.objects.items()):
            owners = item["metadata"].get("ownerReferences", ())
            if kind == "secrets" and any(owner["uid"] == uid for owner in owners):
                self.put(kind, item, event="DELETED")

    def _pods_of(self, job: str) -> list[dict[str, Any]]:
        pods = [item for (kind, _), item in self.objects.items() if kind == "pods"]
        return [pod for pod in pods if any(o["name"] == job for o in pod["metadata"].get("ownerReferences", ()))]

    def _ask_to_end(self, pod: dict[str, Any], grace_s: int | None) -> None:
        grace_s = pod["spec"]["terminationGracePeriodSeconds"] if grace_s is None else grace_s
        pod["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": grace_s}
        self.put("pods", pod)
        if self._plan is None or pod["status"]["phase"] in {"Succeeded", "Failed"}:
            self.remove_pod(pod["metadata"]["name"])

    def _send_watch(self, request: BaseHTTPRequestHandler, kind: str, query: dict[str, str]) -> None:
        since, stream = int(query.get("resourceVersion") or 0), self._streams
        end = time.monotonic() + float(query.get("timeoutSeconds", "60"))
        chunks = _begin_stream(request, "application/json")
        if since < self._oldest - 1:
            message = f"too old resource version: {since} ({self._oldest})"
            chunks(json.dumps({"type": "ERROR", "object": status_body(410, message)}).encode() + b"\n")
            chunks(b"")
            return
        while True:
            with self.lock:
                self._wait_for_news(stream, since)
                if self._streams != stream:
                    request.close_connection = True
                    return  # without the last chunk, as a connection that breaks
                news = [change for change in self._changes if change[0] > since and change[2] == kind]
                since = self._version
            for _, event, _, item in news:
                if _fits(item, query):
                    chunks(json.dumps({"type": event, "object": self._typed(kind, item)}).encode() + b"\n")
            if not news:
                mark = {"metadata": {"resourceVersion": str(since)}}
                chunks(json.dumps({"type": "BOOKMARK", "object": self._typed(kind, mark)}).encode() + b"\n")
            if time.monotonic() >= end:
                chunks(b"")
                return

    def _send_log(self, request: BaseHTTPRequestHandler, pod: str, query: dict[str, str]) -> None:
        if self.get("pods", pod) is None:
            _answer(request, *_missing("pods", pod))
            return
        if pod not in self.logs:
            message = f'container "{query.get("container")}" in pod "{pod}" is waiting to start: ContainerCreating'
            _answer(request, 400, status_body(400, message))
            return
        stream, place, log = self._streams, 0, self.logs[pod]
        chunks = _begin_stream(request, "text/plain")
        while True:
            with self.lock:
                lines, place, is_over = log.lines[place:], len(log.lines), log.is_over
            for stamp, text in lines:
                if stamp[:19] >= query.get("sinceTime", "")[:19]:
                    prefix = f"{stamp} " if query.get("timestamps") == "true" else ""
                    chunks(f"{prefix}{text}\n".encode())
            if query.get("follow") != "true" or (is_over and place == len(log.lines)):
                chunks(b"")
                return
            if self._log_was_cut(stream, log, place):
                request.close_connection = True
                return

    def _wait_for_news(self, stream: int, since: int) -> None:
        self.lock.wait_for(lambda: self._streams != stream or self._version > since, _BOOKMARK_S)

    def _log_was_cut(self, stream: int, log: PodLogFile, place: int) -> bool:
        with self.lock:
            self.lock.wait_for(lambda: self._streams != stream or len(log.lines) > place or log.is_over, 5.0)
            return self._streams != stream


def _missing(kind: str, name: str) -> tuple[int, dict[str, Any]]:
    return 404, status_body(404, f'{kind} "{name}" not found', details={"name": name, "kind": kind})


def _fits(item: dict[str, Any], query: dict[str, str]) -> bool:
    labels = item["metadata"].get("labels", {})
    pairs = [pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if pair]
    fields = [pair.split("=", 1) for pair in query.get("fieldSelector", "").split(",") if pair]
    about = item.get("involvedObject", {})
    return all(labels.get(name) == value for name, value in pairs) and all(
        about.get(name.removeprefix("involvedObject.")) == value for name, value in fields
    )


def _answer(request: BaseHTTPRequestHandler, status: int, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)


def _begin_stream(request: BaseHTTPRequestHandler, kind: str) -> Callable[[bytes], object]:
    """Return what sends a piece of an answer whose length is not known; an empty piece ends it."""
    request.send_response(200)
    request.send_header("Content-Type", kind)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()

    def send(data: bytes) -> None:
        request.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        request.wfile.flush()

    return send
