"""Runs the Autobahn cases against a WebSocket server that echoes, and prints a line of JSON for each verdict.

    autobahn.py URL CASES...
"""

import asyncio
import importlib
import json
import sys

from kosoku import FailureError, _caseindex, run_fuzzingclient


def hash_texts():
    """The cases of compression hash what comes back, and of what a server sends uncompressed, which it may, kosoku
    hands them a str of its bytes."""
    _caseindex.initialize_shims()
    module = importlib.import_module("case12_x_x")
    for case in module.Case12_X_X + module.Case13_X_X:
        case.onMessage = lambda self, message, binary, judge=case.onMessage: judge(
            self, message.encode("latin-1") if isinstance(message, str) else message, binary
        )


async def main(url, cases):
    hash_texts()
    try:
        results = await run_fuzzingclient(url, cases)
    except FailureError as error:
        results = error.results
    for result in results:
        line = {
            "id": result.case_id,
            "behavior": result.behavior.value,
            "close": result.behavior_close.value,
            "why": f"{result.result} {result.result_close}",
        }
        print(json.dumps(line), flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2:]))
