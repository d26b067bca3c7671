//! Replies and pushes, written field by field.

use super::wire::Writer;
use crate::centrifuge::reply::{
    ConnectResult, HistoryResult, Outcome, PresenceResult, PresenceStatsResult, Publication, Push, Reply,
    SubscribeResult,
};
use crate::client::ClientInfo;

pub(super) fn write(reply: &Reply, message: &mut Writer) {
    match reply {
        Reply::Ping => {}
        Reply::Push(push) => message.message(4, |message| write_push(push, message)),
        Reply::Refused(id, error) => {
            message.number(1, *id);
            let (code, words, temporary) = error.parts();
            message.message(2, |message| {
                message.number(1, code);
                message.bytes(2, words);
                message.flag(3, temporary);
            });
        }
        Reply::Done(id, outcome) => {
            message.number(1, *id);
            write_outcome(outcome, message);
        }
    }
}

fn write_outcome(outcome: &Outcome, message: &mut Writer) {
    match outcome {
        Outcome::Connect(result) => message.message(5, |message| connect(result, message)),
        Outcome::Subscribe(result) => message.message(6, |message| subscribe(result, message)),
        Outcome::Unsubscribe => message.message(7, |_| {}),
        Outcome::Publish => message.message(8, |_| {}),
        Outcome::Presence(result) => message.message(9, |message| presence(result, message)),
        Outcome::PresenceStats(result) => message.message(10, |message| presence_stats(*result, message)),
        Outcome::History(result) => message.message(11, |message| history(result, message)),
        Outcome::Rpc(result) => message.message(13, |message| message.bytes(1, result.data.bytes())),
        Outcome::Refresh(result) => message.message(14, |message| {
            message.bytes(1, &result.client);
            message.bytes(2, &result.version);
            message.flag(3, result.expires);
            message.number(4, result.ttl);
        }),
        Outcome::SubRefresh(result) => message.message(15, |message| {
            message.flag(1, result.expires);
            message.number(2, result.ttl);
        }),
    }
}

fn connect(result: &ConnectResult, message: &mut Writer) {
    message.bytes(1, &result.client);
    message.bytes(2, &result.version);
    message.flag(3, result.expires);
    message.number(4, result.ttl);
    message.bytes(5, result.data.bytes());
    for (channel, subscription) in &result.subs {
        message.message(6, |entry| {
            entry.bytes(1, channel);
            entry.message(2, |message| subscribe(subscription, message));
        });
    }
    message.number(7, result.ping);
    message.flag(8, result.pong);
    message.bytes(9, &result.session);
    message.bytes(10, &result.node);
}

fn subscribe(result: &SubscribeResult, message: &mut Writer) {
    message.flag(1, result.expires);
    message.number(2, result.ttl);
    message.flag(3, result.recoverable);
    message.bytes(6, &result.epoch);
    for shown in &result.publications {
        message.message(7, |message| publication(shown, message));
    }
    message.flag(8, result.recovered);
    message.number(9, result.offset);
    message.flag(10, result.positioned);
    message.bytes(11, result.data.bytes());
    message.flag(12, result.was_recovering);
    message.flag(13, result.delta);
}

fn publication(shown: &Publication, message: &mut Writer) {
    message.bytes(4, shown.data.bytes());
    if let Some(info) = &shown.info {
        message.message(5, |message| client(info, message));
    }
    message.number(6, shown.offset);
    for (name, value) in &shown.tags {
        message.message(7, |entry| {
            entry.bytes(1, name);
            entry.bytes(2, value);
        });
    }
    message.flag(8, shown.delta);
}

fn client(info: &ClientInfo, message: &mut Writer) {
    message.bytes(1, &info.user);
    message.bytes(2, &info.client);
    message.bytes(3, info.conn_info.bytes());
    message.bytes(4, info.chan_info.bytes());
}

fn presence(result: &PresenceResult, message: &mut Writer) {
    for (id, info) in &result.presence {
        message.message(1, |entry| {
            entry.bytes(1, id);
            entry.message(2, |message| client(info, message));
        });
    }
}

fn presence_stats(result: PresenceStatsResult, message: &mut Writer) {
    message.number(1, result.num_clients);
    message.number(2, result.num_users);
}

fn history(result: &HistoryResult, message: &mut Writer) {
    for shown in &result.publications {
        message.message(1, |message| publication(shown, message));
    }
    message.bytes(2, &result.epoch);
    message.number(3, result.offset);
}

fn write_push(push: &Push, message: &mut Writer) {
    match push {
        Push::Publication {
            channel,
            publication: shown,
        } => {
            message.bytes(2, channel);
            message.message(4, |message| publication(shown, message));
        }
        Push::Join { channel, info } => {
            message.bytes(2, channel);
            message.message(5, |message| message.message(1, |message| client(info, message)));
        }
        Push::Leave { channel, info } => {
            message.bytes(2, channel);
            message.message(6, |message| message.message(1, |message| client(info, message)));
        }
        Push::Unsubscribe { channel, code } => {
            let (code, reason) = code.parts();
            message.bytes(2, channel);
            message.message(7, |message| {
                message.number(2, code);
                message.bytes(3, reason);
            });
        }
        Push::Subscribe { channel, subscribed } => {
            message.bytes(2, channel);
            message.message(9, |message| {
                message.flag(1, subscribed.recoverable);
                message.bytes(4, &subscribed.epoch);
                message.number(5, subscribed.offset);
                message.flag(6, subscribed.positioned);
                message.bytes(7, subscribed.data.bytes());
            });
        }
        Push::Disconnect(disconnect) => {
            let (code, reason) = disconnect.parts();
            message.message(11, |message| {
                message.number(1, code);
                message.bytes(2, reason);
                message.flag(3, disconnect.asks_to_reconnect());
            });
        }
        Push::Refresh { expires, ttl } => message.message(12, |message| {
            message.flag(1, *expires);
            message.number(2, *ttl);
        }),
    }
}
