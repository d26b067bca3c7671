"""Listens with stock centrifuge-python clients, one subscription each, until it is killed.

Arguments: the URL, how many clients, and the channels, among which the clients are divided. Prints one JSON object a line:
`{"client", "channel", "subscribed": true, "told"}`, where `told` says that something is missing, and
`{"client", "number"}` for each publication.
"""

import asyncio
import json
import sys

import centrifuge


def tell(**what) -> None:
    print(json.dumps(what), flush=True)


class Listener(centrifuge.SubscriptionEventHandler):
    def __init__(self, client: int) -> None:
        self.client = client

    async def on_subscribed(self, ctx) -> None:
        told = ctx.was_recovering and not ctx.recovered
        tell(client=self.client, channel=ctx.channel, subscribed=True, told=told)

    async def on_publication(self, ctx) -> None:
        tell(client=self.client, number=ctx.pub.data["number"])


async def main(url: str, count: str, *channels: str) -> None:
    clients = []
    for number in range(int(count)):
        client = centrifuge.Client(url, min_reconnect_delay=0.2, max_reconnect_delay=2)
        clients.append(client)
        subscription = client.new_subscription(channels[number % len(channels)], events=Listener(number))
        await client.connect()
        await subscription.subscribe()
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
