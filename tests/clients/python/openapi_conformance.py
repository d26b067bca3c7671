"""Sends a server what its OpenAPI description allows, and what it does not, and compares the answers with the description.

The paths lead to real uploads of every kind: begun by tus and by IETF, finished, taken from a form, terminated. Prints one
JSON object a line and operation: `{"operation", "cases", "statuses", "failures"}`.
"""

import argparse
import base64
import itertools
import json
import sys

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Their answers have no end; the SDKs' tests read them.
STREAMS = ("/connection/http_stream", "/connection/sse")
# Nothing waits here, so an answer that takes this long does not come.
TIMEOUT_SECONDS = 30
# How many kinds of uploads there are.
KINDS = 5
TUS = {"Tus-Resumable": "1.0.0"}
CONTENT = b"hello world"
# How much of it an upload has that is begun.
BEGUN = 6
OFFSET_TYPE = {"Content-Type": "application/offset+octet-stream"}


@schemathesis.serializer("application/offset+octet-stream", "application/partial-upload")
def bytes_as_they_are(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()


def main() -> None:
    arguments = parse()
    schema = schemathesis.openapi.from_path(arguments.description)
    schema.config.update(base_url=arguments.url)
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path in STREAMS:
            continue
        print(json.dumps(examine(operation, arguments)), flush=True)


def examine(operation, arguments) -> dict:
    statuses: dict[int, int] = {}
    failures: list[str] = []
    uploads = Uploads(arguments.url)
    turns = itertools.count()
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in GenerationMode))

    @settings(
        max_examples=arguments.cases,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def send(case):
        # By turns and not by chance: each kind of upload is asked for in each protocol.
        turn = next(turns)
        kind, tus, sensible, real = turn % KINDS, turn // KINDS % 2 == 0, turn // (2 * KINDS) % 2 == 0, turn % 7 != 6
        if "{id}" in operation.path and real:
            case.path_parameters = uploads.choose(kind, operation.path)
        if case.query and "wait" in case.query:
            del case.query["wait"]
        if sensible:
            make_sensible(case, tus)
        try:
            response = case.call(timeout=TIMEOUT_SECONDS)
        except requests.exceptions.InvalidHeader:
            return
        statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
        # The description cannot say that only a form's 201 has a body.
        empty = response.status_code == 201 and not response.content
        excluded = [content_type_conformance, response_schema_conformance] if empty else []
        try:
            case.validate_response(response, checks=[check for check in CHECKS if check not in excluded])
        except FailureGroup as group:
            failures.extend(f"{failure.title}: {failure.message}\n{case.as_curl_command()}" for failure in group.exceptions)

    send()
    return {"operation": operation.label, "cases": sum(statuses.values()), "statuses": statuses, "failures": failures[:5]}


def make_sensible(case, tus: bool) -> None:
    """Gives a generated request the fields that belong together, which the description has only in words."""
    headers = case.headers
    if case.path == "/files" and case.method == "POST":
        headers.clear()
        headers.update({**TUS, "Upload-Length": "11"} if tus else {"Upload-Complete": "?0"})
        if tus:
            case.body = schemathesis.core.NOT_SET
    elif case.path == "/files" and case.method == "PUT":
        headers.clear()
        headers.update({"Upload-Complete": "?1"})
    elif case.path.startswith("/files/"):
        headers.clear()
        headers.update(TUS if tus else {"Upload-Draft-Interop-Version": "8"})
        if case.method == "PATCH":
            case.body = b""
            case.media_type = "application/offset+octet-stream" if tus else "application/partial-upload"
            headers.update({"Upload-Offset": str(BEGUN), "Content-Type": case.media_type})
            headers.update({} if tus else {"Upload-Complete": "?0"})
    elif case.path == "/api/{method}":
        case.path_parameters = {"method": "info" if tus else "channels"}
        case.body = {}
        case.media_type = "application/json"
        headers.clear()
    elif case.path in ("/ws", "/connection/websocket"):
        headers.clear()


class Uploads:
    """Uploads of every kind, each made for one request, so that no request changes what another finds."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ended = [self.finished, self.of_a_form, self.terminated]
        self.kinds = [*self.ended, self.tus_begun, self.ietf_begun]

    def choose(self, kind: int, path: str) -> dict:
        # The stream of an open upload's events does not end.
        kinds = self.ended if path.startswith("/events/") else self.kinds
        tenant, upload, key = kinds[kind % len(kinds)]().split("/")[-3:]
        values = {"tenant": tenant, "id": upload, "key": key}
        return {name: value for name, value in values.items() if "{%s}" % name in path}

    def tus_begun(self) -> str:
        metadata = base64.b64encode(b"film.bin").decode()
        headers = {**TUS, **OFFSET_TYPE, "Upload-Length": str(len(CONTENT)), "Upload-Metadata": f"filename {metadata}"}
        return self.created(headers, CONTENT[:BEGUN])

    def ietf_begun(self) -> str:
        return self.created({"Upload-Complete": "?0", "Upload-Length": str(len(CONTENT))}, CONTENT[:BEGUN])

    def finished(self) -> str:
        return self.created({**TUS, **OFFSET_TYPE, "Upload-Length": str(len(CONTENT))}, CONTENT)

    def of_a_form(self) -> str:
        answer = requests.post(f"{self.url}/files", files={"file": ("a.txt", CONTENT)}, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return answer.json()["files"][0]["location"]

    def terminated(self) -> str:
        location = self.tus_begun()
        requests.delete(self.url + location, headers=TUS, timeout=TIMEOUT_SECONDS).raise_for_status()
        return location

    def created(self, headers: dict, body: bytes = b"") -> str:
        answer = requests.post(f"{self.url}/files", headers=headers, data=body, timeout=TIMEOUT_SECONDS)
        answer.raise_for_status()
        return answer.headers["Location"]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("description", help="the OpenAPI file")
    parser.add_argument("url", help="the server")
    parser.add_argument("--cases", type=int, default=60, help="requests of each operation")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
