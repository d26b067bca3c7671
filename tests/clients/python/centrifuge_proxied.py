"""A client of the stock centrifuge-python without a token, where a backend decides what it may do.

Prints one JSON object: why one channel was denied, what was said with another, what a call gave back, and what came of its
own publication.
"""

import asyncio
import json
import sys

import centrifuge


def encoded(value, binary: bool):
    """In protobuf the SDK takes bytes as data, and gives bytes."""
    return json.dumps(value).encode() if binary else value


def decoded(data):
    return json.loads(data) if isinstance(data, bytes) else data


class Closed(centrifuge.SubscriptionEventHandler):
    def __init__(self) -> None:
        self.denied: asyncio.Future = asyncio.get_running_loop().create_future()

    async def on_unsubscribed(self, ctx) -> None:
        self.denied.set_result(ctx.code)


class Open(centrifuge.SubscriptionEventHandler):
    def __init__(self) -> None:
        self.welcome: asyncio.Future = asyncio.get_running_loop().create_future()
        self.heard: asyncio.Future = asyncio.get_running_loop().create_future()

    async def on_subscribed(self, ctx) -> None:
        self.welcome.set_result(decoded(ctx.data))

    async def on_publication(self, ctx) -> None:
        self.heard.set_result(decoded(ctx.pub.data))


async def main(url: str, encoding: str) -> None:
    binary = encoding == "protobuf"
    client = centrifuge.Client(url, use_protobuf=binary)
    await client.connect()
    await client.ready()
    closed, open_ = Closed(), Open()
    await client.new_subscription("chat:closed", events=closed).subscribe()
    subscription = client.new_subscription("chat:open", events=open_, data=encoded({"ticket": 1}, binary))
    await subscription.subscribe()
    await subscription.ready()
    called = await client.rpc("price", encoded({"of": 7}, binary))
    await subscription.publish(encoded({"text": "hello"}, binary))
    said = {
        "denied": await closed.denied,
        "welcome": await open_.welcome,
        "rpc": decoded(called.data),
        "heard": await open_.heard,
    }
    await client.disconnect()
    print(json.dumps(said))


asyncio.run(main(*sys.argv[1:]))
