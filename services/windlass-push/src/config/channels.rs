//! What channels are like: the options of each namespace, by the names that Centrifugo gives them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;
use windlass_serve::config::Time;

use super::Error;
use crate::broker::Retention;
use crate::payload::Payload;

/// Ends the namespace in a channel's name.
const NAMESPACE_BOUNDARY: char = ':';
/// Begins the list of users in the name of a user-limited channel.
const USER_BOUNDARY: char = '#';
/// Stands between users there.
const USER_SEPARATOR: char = ',';
/// Begins the name of a channel that nobody may receive without a subscription token.
const PRIVATE_PREFIX: char = '$';

/// What clients may do with channels, and what is kept of them. Absent options are off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelOptions {
    /// Known users may subscribe without a token for the channel.
    pub allow_subscribe_for_client: bool,
    /// Whoever may subscribe as a known user may so without being known.
    pub allow_subscribe_for_anonymous: bool,
    /// Known users may publish.
    pub allow_publish_for_client: bool,
    /// Known users that are subscribed may publish.
    pub allow_publish_for_subscriber: bool,
    /// Where known users may publish, others may too.
    pub allow_publish_for_anonymous: bool,
    /// Known users may read the history.
    pub allow_history_for_client: bool,
    /// Known users that are subscribed may read the history.
    pub allow_history_for_subscriber: bool,
    /// Where known users may read the history, others may too.
    pub allow_history_for_anonymous: bool,
    /// It is known who is in the channel.
    pub presence: bool,
    /// Known users may ask who is in the channel.
    pub allow_presence_for_client: bool,
    /// Known users that are subscribed may ask.
    pub allow_presence_for_subscriber: bool,
    /// Where known users may ask, others may too.
    pub allow_presence_for_anonymous: bool,
    /// Subscribers are told who comes and goes.
    pub join_leave: bool,
    /// Also those who did not ask for it.
    pub force_push_join_leave: bool,
    /// How many publications are remembered.
    pub history_size: usize,
    /// For how long.
    pub history_ttl: Option<Time>,
    /// Every subscriber is watched for gaps.
    pub force_positioning: bool,
    /// Subscribers that ask for it are watched for gaps.
    pub allow_positioning: bool,
    /// Every subscriber that comes back is given what it missed.
    pub force_recovery: bool,
    /// Subscribers that ask for it are.
    pub allow_recovery: bool,
    /// What it is to recover: everything that was missed, or the latest publication only.
    pub force_recovery_mode: RecoveryMode,
    /// In which ways subscribers may have publications as the difference from the one before.
    pub allowed_delta_types: Vec<DeltaType>,
    /// Publications go out so to those who asked for it, also where the publisher does not say so.
    pub delta_publish: bool,
    /// Names with a list of users, as `inbox#ann,bob`, are for these users.
    pub allow_user_limited_channels: bool,
    /// What the name, less the namespace, must match.
    pub channel_regex: Pattern,
    /// What a publication's data must be beside JSON.
    pub publication_data_format: DataFormat,
    /// A backend says who may subscribe without a token; then no other option does.
    pub subscribe_proxy_enabled: bool,
    /// Which; `default` when absent.
    pub subscribe_proxy_name: Option<String>,
    /// A backend says who may publish and what; then no other option does.
    pub publish_proxy_enabled: bool,
    /// Which; `default` when absent.
    pub publish_proxy_name: Option<String>,
    /// A backend says whether a subscription that ends may go on.
    pub sub_refresh_proxy_enabled: bool,
    /// Which; `default` when absent.
    pub sub_refresh_proxy_name: Option<String>,
    /// A backend is told that a subscription has ended.
    pub unsubscribe_proxy_enabled: bool,
    /// Which; `default` when absent.
    pub unsubscribe_proxy_name: Option<String>,
}

/// What it is to recover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecoveryMode {
    /// Everything that was missed, whole and in order.
    #[default]
    #[serde(alias = "")]
    Stream,
    /// The latest publication.
    Cache,
}

/// How the difference of one publication from another is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeltaType {
    /// As [`fossil`](crate::fossil) has it.
    Fossil,
}

impl DeltaType {
    /// What clients call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fossil => "fossil",
        }
    }
}

/// What a publication's data must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataFormat {
    /// JSON.
    #[default]
    #[serde(alias = "")]
    Json,
    /// A JSON object.
    JsonObject,
}

/// A pattern that a name must match; an empty one lets every name through.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Pattern(Option<Regex>);

impl Pattern {
    fn admits(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|pattern| pattern.is_match(name))
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let pattern = Regex::new(&text).map_err(|error| format!("not a regular expression: {error}"))?;
        Ok(Self(Some(pattern)))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref().map(Regex::as_str) == other.0.as_ref().map(Regex::as_str)
    }
}

impl Eq for Pattern {}

/// The options of the channels whose names begin with `<name>:`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Namespace {
    /// The name.
    pub name: String,
    /// The options.
    #[serde(flatten)]
    pub options: NamespaceOptions,
}

/// [`ChannelOptions`] beside a name: unknown keys are refused here, which a flattened reader cannot do itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "serde_json::Map<String, serde_json::Value>")]
pub struct NamespaceOptions(pub ChannelOptions);

impl TryFrom<serde_json::Map<String, serde_json::Value>> for NamespaceOptions {
    type Error = serde_json::Error;

    fn try_from(map: serde_json::Map<String, serde_json::Value>) -> Result<Self, serde_json::Error> {
        serde_json::from_value(map.into()).map(Self)
    }
}

impl ChannelOptions {
    /// Everything is allowed and remembered for a while: for a server that only its own machine can reach.
    #[must_use]
    pub fn open() -> Self {
        Self {
            allow_subscribe_for_client: true,
            allow_publish_for_client: true,
            allow_publish_for_subscriber: true,
            allow_history_for_client: true,
            allow_history_for_subscriber: true,
            presence: true,
            allow_presence_for_client: true,
            allow_presence_for_subscriber: true,
            join_leave: true,
            history_size: 300,
            history_ttl: Some(Time(Duration::from_secs(300))),
            force_positioning: true,
            force_recovery: true,
            ..Self::default()
        }
    }

    /// What is remembered of a channel.
    #[must_use]
    pub fn retention(&self) -> Retention {
        Retention {
            size: self.history_size,
            ttl: self.history_ttl.map_or(Duration::ZERO, |time| time.0),
        }
    }

    /// Whether data, which are JSON, may be published.
    #[must_use]
    pub fn accepts(&self, data: &Payload) -> bool {
        match self.publication_data_format {
            DataFormat::Json => true,
            DataFormat::JsonObject => data.bytes().starts_with(b"{"),
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        if (self.history_size == 0) != self.history_ttl.is_none() {
            return Err("history_size and history_ttl are given together or not at all");
        }
        let positions = self.force_positioning || self.allow_positioning || self.force_recovery || self.allow_recovery;
        if positions && self.history_size == 0 {
            return Err("positioning and recovery need history_size and history_ttl");
        }
        if self.force_push_join_leave && !self.join_leave {
            return Err("force_push_join_leave needs join_leave");
        }
        Ok(())
    }
}

/// Every channel's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channels {
    /// Of channels without a namespace.
    plain: Arc<ChannelOptions>,
    namespaces: HashMap<String, Arc<ChannelOptions>>,
    /// Nothing was configured: a name with a boundary is a name as any other.
    any: bool,
}

/// A name that no channel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no such namespace.
    UnknownNamespace,
    /// It does not match its namespace's pattern.
    Pattern,
}

impl Channels {
    /// All channels have these options, whatever they are called.
    #[must_use]
    pub fn all(options: ChannelOptions) -> Self {
        Self {
            plain: Arc::new(options),
            namespaces: HashMap::new(),
            any: true,
        }
    }

    /// Checks what was configured. `open` says that only this machine can reach the server: what is not configured is
    /// open then, and closed otherwise.
    ///
    /// # Errors
    /// Which part makes no sense, and why.
    pub fn validate(plain: Option<&ChannelOptions>, namespaces: &[Namespace], open: bool) -> Result<Self, Error> {
        let wrong = |field, reason| Error { field, reason };
        let absent = if open {
            ChannelOptions::open()
        } else {
            ChannelOptions::default()
        };
        let any = plain.is_none() && namespaces.is_empty();
        let plain = plain.cloned().unwrap_or(absent);
        plain.check().map_err(|reason| wrong("channels", reason))?;
        let mut named = HashMap::new();
        for Namespace { name, options } in namespaces {
            let ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.len() < 2 || !name.chars().all(ordinary) || name == "task" {
                return Err(wrong(
                    "namespaces",
                    "a name has at least two of A-Z a-z 0-9 - _ and the dot, and is not `task`",
                ));
            }
            options.0.check().map_err(|reason| wrong("namespaces", reason))?;
            if named.insert(name.clone(), Arc::new(options.0.clone())).is_some() {
                return Err(wrong("namespaces", "a name stands twice"));
            }
        }
        Ok(Self {
            plain: Arc::new(plain),
            namespaces: named,
            any,
        })
    }

    /// The options of all channels.
    pub(crate) fn each(&self) -> impl Iterator<Item = &ChannelOptions> {
        self.namespaces.values().chain([&self.plain]).map(|options| &**options)
    }

    /// The options of the channel `name`.
    ///
    /// # Errors
    /// [`Refused`] when there can be no such channel.
    pub fn options(&self, name: &str) -> Result<&Arc<ChannelOptions>, Refused> {
        let whole = name.strip_prefix(PRIVATE_PREFIX).unwrap_or(name);
        let (options, rest) = match whole.split_once(NAMESPACE_BOUNDARY) {
            Some((namespace, rest)) if !self.any => {
                let options = self.namespaces.get(namespace).ok_or(Refused::UnknownNamespace)?;
                (options, rest)
            }
            Some(_) | None => (&self.plain, whole),
        };
        if options.channel_regex.admits(rest) {
            Ok(options)
        } else {
            Err(Refused::Pattern)
        }
    }
}

/// Whether nobody may receive the channel `name` without a subscription token.
#[must_use]
pub fn is_private(name: &str) -> bool {
    name.starts_with(PRIVATE_PREFIX)
}

/// The users that the channel `name` is for, if its name says so.
#[must_use]
pub fn users(name: &str) -> Option<impl Iterator<Item = &str>> {
    let (_, users) = name.split_once(USER_BOUNDARY)?;
    Some(users.split(USER_SEPARATOR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(json: &str) -> Namespace {
        serde_json::from_str(json).expect("a namespace")
    }

    fn channels(namespaces: &[&str]) -> Result<Channels, Error> {
        let namespaces: Vec<Namespace> = namespaces.iter().map(|json| namespace(json)).collect();
        Channels::validate(None, &namespaces, true)
    }

    #[test]
    fn a_name_finds_the_options_of_its_namespace() {
        let channels = channels(&[
            r#"{"name":"chat","history_size":7,"history_ttl":"1m"}"#,
            r#"{"name":"news","channel_regex":"^[a-z]+$","history_size":8,"history_ttl":"1m"}"#,
        ])
        .expect("they make sense");
        let size = |name| channels.options(name).map(|options| options.history_size);
        assert_eq!(size("chat:a"), Ok(7));
        assert_eq!(size("$chat:a"), Ok(7));
        assert_eq!(size("chat:news:1"), Ok(7));
        assert_eq!(size("news:abc"), Ok(8));
        assert_eq!(size("news:ab1"), Err(Refused::Pattern));
        assert_eq!(size("chats:a"), Err(Refused::UnknownNamespace));
        assert_eq!(size("plain"), Ok(ChannelOptions::open().history_size));
    }

    #[test]
    fn without_any_configuration_a_boundary_means_nothing() {
        let channels = channels(&[]).expect("it makes sense");
        assert!(channels.options("what:ever").is_ok());
        let closed = Channels::validate(Some(&ChannelOptions::default()), &[], true).expect("it makes sense");
        assert_eq!(closed.options("what:ever").err(), Some(Refused::UnknownNamespace));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for json in [
            r#"{"name":"a"}"#,
            r#"{"name":"a:b"}"#,
            r#"{"name":"task"}"#,
            r#"{"name":"chat","history_size":1}"#,
            r#"{"name":"chat","force_recovery":true}"#,
            r#"{"name":"chat","force_push_join_leave":true}"#,
        ] {
            assert!(channels(&[json]).is_err(), "{json}");
        }
        assert!(channels(&[r#"{"name":"chat"}"#, r#"{"name":"chat"}"#]).is_err());
        for json in [
            r#"{"name":"chat","hsitory_size":1}"#,
            r#"{"name":"chat","channel_regex":"("}"#,
            r#"{"name":"chat","force_recovery_mode":"some"}"#,
            r#"{"history_size":1}"#,
        ] {
            assert!(serde_json::from_str::<Namespace>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_name_says_whom_it_is_for() {
        let listed = |name| users(name).map(Iterator::collect::<Vec<_>>);
        assert_eq!(listed("inbox#ann,bob"), Some(vec!["ann", "bob"]));
        assert_eq!(listed("inbox#"), Some(vec![""]));
        assert_eq!(listed("inbox"), None);
        assert!(is_private("$x") && !is_private("x$"));
    }
}
