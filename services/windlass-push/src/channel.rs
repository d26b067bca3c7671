//! Channels: their names, and the key under which a tenant's channel is known inside.

use std::fmt;
use std::sync::Arc;

use windlass_task::{TaskId, TaskKey, Tenant};

use crate::config::channels::{ChannelOptions, Channels, Refused};

/// The longest channel name in bytes that a client may use (Centrifugo's `channel.max_length`).
pub const NAME_BYTES_MAX: usize = 255;

/// What a task's channel is called: this and the task's id.
pub const TASK_PREFIX: &str = "task:";

/// Channels that start so belong to the service itself; no client can name one.
const INTERNAL_PREFIX: &str = "\u{0}";

/// And after that, the channel of a user.
const USER_PREFIX: &str = "user:";

/// A channel as the service knows it: the tenant and the name, so that two tenants never meet in one channel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelKey(Arc<str>);

impl ChannelKey {
    /// The channel `name` of `tenant`.
    #[must_use]
    pub fn new(tenant: &Tenant, name: &str) -> Self {
        // A tenant is a DNS label: the first slash always ends it.
        Self(format!("{tenant}/{name}").into())
    }

    /// The channel of a task.
    #[must_use]
    pub fn of_task(task: &TaskKey) -> Self {
        Self::new(&task.tenant, &format!("{TASK_PREFIX}{}", task.id))
    }

    /// The task whose channel it is.
    #[must_use]
    pub fn task(&self) -> Option<TaskKey> {
        let (tenant, name) = self.0.split_once('/')?;
        Some(TaskKey {
            tenant: tenant.parse().ok()?,
            id: name.strip_prefix(TASK_PREFIX)?.parse().ok()?,
        })
    }

    /// The channel on which everything sent to one user of a tenant travels.
    #[must_use]
    pub fn of_user(tenant: &Tenant, user: &str) -> Self {
        Self::new(tenant, &format!("{INTERNAL_PREFIX}{USER_PREFIX}{user}"))
    }

    /// The user whose channel it is.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.name().strip_prefix(INTERNAL_PREFIX)?.strip_prefix(USER_PREFIX)
    }

    /// The channel of which this is the text ([`ChannelKey::as_str`]).
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (tenant, name) = text.split_once('/')?;
        Some(Self::new(&tenant.parse().ok()?, name))
    }

    /// The tenant's name.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.0.split_once('/').map_or("", |(tenant, _)| tenant)
    }

    /// The name as clients know it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }

    /// Whether it is a channel of this tenant.
    #[must_use]
    pub fn is_of(&self, tenant: &Tenant) -> bool {
        self.tenant() == tenant.as_str()
    }

    /// The tenant and the name as one text, unique among all channels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelKey({:?})", &*self.0)
    }
}

/// What kind of channel a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The latest value of one task; only the service publishes to it.
    Task(TaskId),
    /// Looks like a task's channel, but nothing can be called so.
    NoTask,
    /// A stream among clients, with its options.
    Stream(Arc<ChannelOptions>),
}

/// A name that no channel of a client can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing.
    #[error("a channel needs a name")]
    Empty,
    /// Over [`NAME_BYTES_MAX`].
    #[error("a channel's name has at most {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// It does not match the pattern of its namespace.
    #[error("a channel's name must match the pattern of its namespace")]
    Pattern,
    /// There is no namespace of this name.
    #[error("there is no such namespace")]
    UnknownNamespace,
    /// Control characters: they would break logs, and the service's own channels use them.
    #[error("a channel's name has no control characters")]
    Control,
}

/// Whether a channel of this name is the service's own.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    name.starts_with(INTERNAL_PREFIX)
}

/// What kind of channel a client means by `name`.
///
/// # Errors
/// [`NameError`] when no channel can have this name.
pub fn classify(name: &str, channels: &Channels) -> Result<Kind, NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong);
    }
    if name.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    Ok(match name.strip_prefix(TASK_PREFIX) {
        Some(id) => id.parse().map_or(Kind::NoTask, Kind::Task),
        None => match channels.options(name) {
            Ok(options) => Kind::Stream(Arc::clone(options)),
            Err(Refused::UnknownNamespace) => return Err(NameError::UnknownNamespace),
            Err(Refused::Pattern) => return Err(NameError::Pattern),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_task::{Origin, Tenant};

    #[test]
    fn no_name_of_one_tenant_reaches_another_tenants_channel() {
        let (a, b): (Tenant, Tenant) = ("a".parse().unwrap(), "b".parse().unwrap());
        let key = ChannelKey::new(&a, "x/b/y");
        assert_ne!(key, ChannelKey::new(&b, "y"));
        assert_eq!(key.name(), "x/b/y");
    }

    #[test]
    fn names_are_classified() {
        let id = TaskId::generate(&Origin::local());
        let channels = Channels::all(ChannelOptions::open());
        let classify = |name: &str| classify(name, &channels);
        let stream = Kind::Stream(Arc::new(ChannelOptions::open()));
        assert_eq!(classify(&format!("task:{id}")), Ok(Kind::Task(id)));
        assert_eq!(classify("task:../x"), Ok(Kind::NoTask));
        assert_eq!(classify("news"), Ok(stream.clone()));
        assert_eq!(classify(""), Err(NameError::Empty));
        assert_eq!(classify(&"a".repeat(255)), Ok(stream.clone()));
        assert_eq!(classify(&"a".repeat(256)), Err(NameError::TooLong));
        assert_eq!(classify("\u{0}user:ada"), Err(NameError::Control));
    }
}
