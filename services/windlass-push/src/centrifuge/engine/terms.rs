//! What a subscription is made of: the channel's options, what a token gives, and what the client asks for.

use std::time::Duration;

use crate::centrifuge::command::SubscribeRequest;
use crate::config::ChannelOptions;
use crate::config::channels::{DeltaType, RecoveryMode};
use crate::grant::{Flag, Grant};
use crate::payload::Payload;
use crate::proxy::Kind;

/// What a subscription is made of.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Terms {
    /// It shows in the channel's presence.
    pub(super) presence: bool,
    /// Others are told that it comes and goes.
    pub(super) announced: bool,
    /// It is told who comes and goes.
    pub(super) hears_others: bool,
    /// It is watched for gaps, and the client knows where it is.
    pub(super) positioned: bool,
    /// It gets what it missed.
    pub(super) recoverable: bool,
    /// What it missed is the latest publication only.
    pub(super) cache: bool,
    /// Publications may come as the difference from the one before.
    pub(super) deltas: bool,
    /// How long it is good for.
    pub(super) expires_in: Option<Duration>,
    /// A backend says then whether it goes on; the client is not told that it ends.
    pub(super) refreshed_here: bool,
    /// What others see of the user in this channel.
    pub(super) info: Payload,
    /// What the application is told.
    pub(super) data: Payload,
}

/// What a client that is subscribed may read of the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reads {
    pub(super) history: bool,
    pub(super) presence: bool,
}

impl Terms {
    /// What a client that asks for a channel gets.
    pub(super) fn of_client(options: &ChannelOptions, grant: Grant, request: &SubscribeRequest, reads: Reads) -> Self {
        let mut terms = Self::of_server(options, grant);
        let kept = !options.retention().is_none();
        terms.positioned |= kept && request.positioned && (options.allow_positioning || reads.history);
        terms.recoverable |= kept && request.recoverable && (options.allow_recovery || reads.history);
        terms.positioned |= terms.recoverable;
        // Who is not watched for gaps may lack the publication that the next one is the difference from.
        let known = |kind: &DeltaType| kind.name() == request.delta;
        terms.deltas = terms.positioned && options.allowed_delta_types.iter().any(known);
        terms.hears_others |= request.join_leave && options.join_leave && reads.presence;
        terms
    }

    /// What a connection that the server subscribes gets.
    pub(super) fn of_server(options: &ChannelOptions, grant: Grant) -> Self {
        let Grant {
            info,
            data,
            expires_in,
            overrides,
        } = grant;
        let chosen = |own: bool, other: Option<Flag>| other.map_or(own, |flag| flag.value);
        let kept = !options.retention().is_none();
        let recoverable = kept && chosen(options.force_recovery, overrides.force_recovery);
        Self {
            presence: chosen(options.presence, overrides.presence),
            announced: chosen(options.join_leave, overrides.join_leave),
            hears_others: chosen(options.force_push_join_leave, overrides.force_push_join_leave),
            positioned: kept && (recoverable || chosen(options.force_positioning, overrides.force_positioning)),
            recoverable,
            cache: options.force_recovery_mode == RecoveryMode::Cache,
            deltas: false,
            expires_in,
            refreshed_here: options.proxy(Kind::SubRefresh).is_some(),
            info,
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::Overrides;

    const NONE: Reads = Reads {
        history: false,
        presence: false,
    };

    fn options(json: &str) -> ChannelOptions {
        serde_json::from_str(json).expect("channel options")
    }

    fn asking() -> SubscribeRequest {
        SubscribeRequest {
            positioned: true,
            recoverable: true,
            join_leave: true,
            ..SubscribeRequest::default()
        }
    }

    #[test]
    fn who_asks_gets_what_the_channel_lets_it_have() {
        let closed = options(r#"{"history_size":1,"history_ttl":"1m","join_leave":true}"#);
        let terms = Terms::of_client(&closed, Grant::default(), &asking(), NONE);
        assert_eq!(
            (terms.positioned, terms.recoverable, terms.hears_others),
            (false, false, false)
        );
        let reads = Reads {
            history: true,
            presence: true,
        };
        let terms = Terms::of_client(&closed, Grant::default(), &asking(), reads);
        assert_eq!(
            (terms.positioned, terms.recoverable, terms.hears_others),
            (true, true, true)
        );
        let allowed = options(r#"{"history_size":1,"history_ttl":"1m","allow_recovery":true}"#);
        let terms = Terms::of_client(&allowed, Grant::default(), &asking(), NONE);
        assert_eq!((terms.positioned, terms.recoverable), (true, true));
        let terms = Terms::of_client(&allowed, Grant::default(), &SubscribeRequest::default(), NONE);
        assert_eq!((terms.positioned, terms.recoverable), (false, false));
        // Nothing is kept, so there is no position.
        let terms = Terms::of_client(&options("{}"), Grant::default(), &asking(), reads);
        assert_eq!(
            (terms.positioned, terms.recoverable, terms.hears_others),
            (false, false, false)
        );
    }

    #[test]
    fn a_grant_goes_before_the_options() {
        let options = options(r#"{"history_size":1,"history_ttl":"1m","force_recovery":true,"presence":true}"#);
        let flag = |value| Some(Flag { value });
        let overrides = Overrides {
            presence: flag(false),
            join_leave: flag(true),
            force_push_join_leave: flag(true),
            force_recovery: flag(false),
            force_positioning: flag(true),
        };
        let grant = Grant {
            overrides,
            ..Grant::default()
        };
        let terms = Terms::of_server(&options, grant);
        assert_eq!(
            (terms.presence, terms.announced, terms.hears_others),
            (false, true, true)
        );
        assert_eq!((terms.recoverable, terms.positioned), (false, true));
        let terms = Terms::of_server(&options, Grant::default());
        assert_eq!(
            (terms.presence, terms.recoverable, terms.positioned),
            (true, true, true)
        );
    }
}
