"""Two clients of the stock centrifuge-python on one channel: one publishes, the other listens.

Prints one JSON object: what the listener got in order, the channel's history and the number of clients present.
"""

import asyncio
import json
import sys

import centrifuge

PUBLICATIONS = 20


def encoded(value, binary: bool):
    """In protobuf the SDK takes bytes as data, and gives bytes."""
    return json.dumps(value).encode() if binary else value


def decoded(data):
    return json.loads(data) if isinstance(data, bytes) else data


class Listener(centrifuge.SubscriptionEventHandler):
    def __init__(self) -> None:
        self.heard: list = []
        self.all_heard = asyncio.Event()

    async def on_publication(self, ctx) -> None:
        self.heard.append(decoded(ctx.pub.data)["number"])
        if len(self.heard) == PUBLICATIONS:
            self.all_heard.set()


async def main(url: str, channel: str, encoding: str = "json") -> None:
    listener = Listener()
    binary = encoding == "protobuf"
    clients = [centrifuge.Client(url, use_protobuf=binary) for _ in range(2)]
    listening = clients[0].new_subscription(channel, events=listener)
    publishing = clients[1].new_subscription(channel)
    for client, subscription in zip(clients, (listening, publishing)):
        await client.connect()
        await subscription.subscribe()
        await subscription.ready()
    for number in range(PUBLICATIONS):
        await publishing.publish(encoded({"number": number}, binary))
    await listener.all_heard.wait()
    history = await publishing.history(limit=-1)
    presence = await publishing.presence_stats()
    for client in clients:
        await client.disconnect()
    print(
        json.dumps(
            {
                "heard": listener.heard,
                "history": [decoded(publication.data)["number"] for publication in history.publications],
                "offset": history.offset,
                "clients": presence.num_clients,
            }
        )
    )


asyncio.run(main(*sys.argv[1:]))
