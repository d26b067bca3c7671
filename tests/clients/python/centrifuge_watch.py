"""Watches one task with the stock centrifuge-python until it is complete.

Prints one JSON object a line: `{"state"}` for each state of the connection and the subscription, `{"progress"}` for
each publication.
"""

import asyncio
import json
import sys

import centrifuge


def tell(**what) -> None:
    print(json.dumps(what), flush=True)


class Connection(centrifuge.ClientEventHandler):
    async def on_connecting(self, ctx) -> None:
        tell(state="connecting")

    async def on_connected(self, ctx) -> None:
        tell(state="connected")


class Watcher(centrifuge.SubscriptionEventHandler):
    def __init__(self) -> None:
        self.complete = asyncio.Event()

    async def on_subscribed(self, ctx) -> None:
        tell(state="subscribed")

    async def on_publication(self, ctx) -> None:
        tell(**ctx.pub.data)
        if ctx.pub.data["progress"] == 100:
            self.complete.set()


async def main(url: str, task: str) -> None:
    watcher = Watcher()
    client = centrifuge.Client(url, events=Connection(), min_reconnect_delay=0.05, max_reconnect_delay=0.5)
    subscription = client.new_subscription(f"task:{task}", events=watcher)
    await client.connect()
    await subscription.subscribe()
    await watcher.complete.wait()
    await client.disconnect()


asyncio.run(main(*sys.argv[1:]))
