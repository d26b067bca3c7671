"""Runs the Autobahn cases against a WebSocket server that echoes, and prints a line of JSON for each verdict.

    autobahn.py URL CASES...
"""

import asyncio
import json
import sys

from kosoku import FailureError, run_fuzzingclient


async def main(url, cases):
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
