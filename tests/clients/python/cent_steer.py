"""Drives the HTTP API by the stock `cent`, call by call, and prints one JSON object of what came of it.

Arguments: `steer` or `disconnect`, the API's URL, its key, a channel that keeps history and presence, and a user who is connected.
"""

import json
import sys
import uuid

import cent


def refused(call) -> int:
    """The code by which a call is refused."""
    try:
        call()
    except cent.CentApiResponseError as error:
        return error.code
    return 0


def main(url: str, key: str, channel: str, user: str) -> None:
    api = cent.Client(url, api_key=key)
    once = str(uuid.uuid4())
    
    def publish(data, **more):
        return api.publish(cent.PublishRequest(channel=channel, data=data, **more))

    first = publish({"n": 1}, tags={"from": "cent"})
    twice = [publish({"n": 2}, idempotency_key=once).offset for _ in range(2)]
    broadcast = api.broadcast(cent.BroadcastRequest(channels=[channel, "nothing:x"], data={"n": 3}))
    history = api.history(cent.HistoryRequest(channel=channel, limit=-1))
    batch = api.batch(
        cent.BatchRequest(
            requests=[
                cent.PublishRequest(channel=channel, data={"n": 4}),
                cent.PresenceStatsRequest(channel=channel),
            ]
        )
    )
    presence = api.presence(cent.PresenceRequest(channel=channel))
    connections = api.connections(cent.ConnectionsRequest(user=user, expression=""))
    told = {
        "first": first.offset,
        "twice": twice,
        "broadcast": [bool(response.error) for response in broadcast.responses],
        "history": [publication.data["n"] for publication in history.publications],
        "tags": [publication.tags for publication in history.publications],
        "batch": [batch.replies[0].offset, batch.replies[1].num_clients],
        "users": sorted({info.user for info in presence.presence.values()}),
        "stats": api.presence_stats(cent.PresenceStatsRequest(channel=channel)).num_clients,
        "channels": sorted(api.channels(cent.ChannelsRequest(pattern=channel.split(":")[0] + ":*")).channels),
        "nodes": [node.num_clients for node in api.info(cent.InfoRequest()).nodes],
        "connections": [(it.user, sorted(it.state.channels)) for it in connections.connections.values()],
        "unknown": refused(lambda: api.publish(cent.PublishRequest(channel="nothing:x", data={}))),
    }
    api.history_remove(cent.HistoryRemoveRequest(channel=channel))
    told["removed"] = len(api.history(cent.HistoryRequest(channel=channel, limit=-1)).publications)
    api.subscribe(cent.SubscribeRequest(channel=channel + "-by-server", user=user))
    api.unsubscribe(cent.UnsubscribeRequest(channel=channel, user=user))
    api.refresh(cent.RefreshRequest(user=user, expire_at=4102444800))
    print(json.dumps(told))


def disconnect(url: str, key: str, _: str, user: str) -> None:
    words = cent.Disconnect(code=4567, reason="enough")
    cent.Client(url, api_key=key).disconnect(cent.DisconnectRequest(user=user, disconnect=words))


if sys.argv[1] == "disconnect":
    disconnect(*sys.argv[2:])
else:
    main(*sys.argv[2:])
