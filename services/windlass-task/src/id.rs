//! Names whose constructor is their validation: origins, tasks, tenants, owners, partitions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::UnixMillis;

/// A name that does not fit its grammar; the text itself is left out, for it comes from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} must be {grammar}")]
pub struct Error {
    what: &'static str,
    grammar: &'static str,
}

/// Gives a string newtype its text form in both directions.
macro_rules! text_form {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $grammar:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(Error { what: $what, grammar: $grammar })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        text_form!($name);
    };
}

name!(
    /// Where a task was born: a region or a site. A routing table maps it to the region that has the task now.
    Origin,
    "an origin",
    "1 to 32 lowercase letters, digits and inner hyphens",
    |text: &str| is_label(text, 32)
);
name!(
    /// Whose task it is, above the owner: one namespace of users, limits and keys. A DNS label (RFC 1123), since
    /// it becomes part of object keys, channels and namespaces.
    Tenant,
    "a tenant",
    "1 to 63 lowercase letters, digits and inner hyphens",
    |text: &str| is_label(text, 63)
);
name!(
    /// Who created a task: the `sub` of the verified token.
    Owner,
    "an owner",
    "1 to 255 bytes without control characters",
    |text: &str| !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control)
);
name!(
    /// A foreign name under which a task can be found, such as the URL of an upload taken over from tusd.
    Alias,
    "an alias",
    "1 to 255 visible ASCII characters without a slash",
    |text: &str| !text.is_empty() && text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/')
);

impl Tenant {
    /// The tenant of every request that names no other.
    #[must_use]
    pub fn default_tenant() -> Self {
        Self("default".into())
    }
}

impl Owner {
    /// The owner of everything on a loopback listener, where nobody logs in.
    #[must_use]
    pub fn local() -> Self {
        Self("local".into())
    }
}

impl Origin {
    /// The origin of a server that was given none.
    #[must_use]
    pub fn local() -> Self {
        Self("local".into())
    }
}

/// A task's public name, `<origin>-<UUIDv7>`: watchers and logs know it, so it never gives the right to write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    origin: Origin,
    uuid: Uuid,
}

impl TaskId {
    /// The textual length of a UUID (RFC 9562 section 4).
    const UUID_LENGTH: usize = 36;

    /// A new id, born at `origin`, ordered by the time of its making.
    #[must_use]
    pub fn generate(origin: &Origin) -> Self {
        Self {
            origin: origin.clone(),
            uuid: Uuid::now_v7(),
        }
    }

    /// The id of what was born elsewhere under a name with this digest: the same name, the same id. Its time is 0, for
    /// nobody knows it.
    #[must_use]
    pub fn derived(origin: &Origin, digest: [u8; 10]) -> Self {
        Self {
            origin: origin.clone(),
            uuid: uuid::Builder::from_unix_timestamp_millis(0, &digest).into_uuid(),
        }
    }

    /// Where the task was born.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// When it was made, by the clock of whoever made it; 0 for one that is derived.
    #[must_use]
    pub fn born(&self) -> UnixMillis {
        let millis = self.uuid.as_bytes().iter().take(6); // RFC 9562 section 5.7
        UnixMillis(millis.fold(0, |time, byte| time << 8 | u64::from(*byte)))
    }

    /// The partition that holds the task's keys: CRC32C of the id's text, modulo 256.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition::of(&self.to_string())
    }
}

impl FromStr for TaskId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = Error {
            what: "a task id",
            grammar: "an origin, a hyphen and a lowercase version 7 UUID",
        };
        let cut = text.len().checked_sub(Self::UUID_LENGTH).ok_or(wrong)?;
        let (origin, uuid_text) = text.split_at_checked(cut).ok_or(wrong)?;
        let origin = origin.strip_suffix('-').ok_or(wrong)?.parse().map_err(|_| wrong)?;
        let uuid = Uuid::try_parse(uuid_text).map_err(|_| wrong)?;
        // One task has one spelling: the parser also takes capitals and other groupings.
        if uuid.get_version_num() != 7 || uuid.hyphenated().to_string() != uuid_text {
            return Err(wrong);
        }
        Ok(Self { origin, uuid })
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.origin, self.uuid.hyphenated())
    }
}

text_form!(TaskId);

/// What finds a task: its tenant and its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    /// The tenant.
    pub tenant: Tenant,
    /// The id.
    pub id: TaskId,
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant, self.id)
    }
}

/// One of the 256 partitions, fixed at installation, that a task's keys and its outbox entries share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub u8);

impl Partition {
    /// The partition of what has this name: CRC32C of its text, modulo 256.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self((crc32c::crc32c(name.as_bytes()) % 256) as u8)
    }
}

/// A DNS label (RFC 1123) of at most `longest` characters.
fn is_label(text: &str, longest: usize) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty()
        && text.len() <= longest
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_task_id_reads_back_what_it_writes() {
        for origin in ["local", "eu-west-1", "a"] {
            let id = TaskId::generate(&origin.parse().unwrap());
            assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
            assert_eq!(id.origin().as_str(), origin);
        }
    }

    #[test]
    fn an_id_tells_when_it_was_made() {
        let before = UnixMillis::now();
        let born = TaskId::generate(&Origin::local()).born();
        assert!(before <= born && born <= UnixMillis::now());
        assert_eq!(TaskId::derived(&Origin::local(), [0xff; 10]).born(), UnixMillis(0));
        let known: TaskId = "local-017f22e2-79b0-7cc3-98c4-dc0c0c07398f".parse().unwrap();
        assert_eq!(known.born(), UnixMillis(0x017f_22e2_79b0));
    }

    #[test]
    fn an_id_that_is_derived_is_one_like_any_other() {
        let derive = |digest| TaskId::derived(&Origin::local(), digest);
        let id = derive([0xff; 10]);
        assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
        assert_eq!(id, derive([0xff; 10]));
        assert_ne!(id, derive([0; 10]));
    }

    #[test]
    fn ids_with_path_tricks_or_other_spellings_are_refused() {
        let good = TaskId::generate(&Origin::local()).to_string();
        let uuid = &good["local-".len()..];
        for bad in [
            String::new(),
            uuid.to_owned(),
            format!("-{uuid}"),
            format!("../local-{uuid}"),
            format!("LOCAL-{uuid}"),
            format!("local-{}", uuid.to_uppercase()),
            format!("local_{uuid}"),
            format!("{good}/"),
            format!("{good}%00"),
            format!("local-{}", Uuid::nil()),
            format!("local-{}", Uuid::max()),
            "é".repeat(30),
        ] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn tenants_are_dns_labels_and_owners_have_no_controls() {
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "..", &"a".repeat(64)] {
            assert!(bad.parse::<Tenant>().is_err(), "{bad:?} was taken");
        }
        for bad in ["", "a\nb", "\u{0}", &"a".repeat(256)] {
            assert!(bad.parse::<Owner>().is_err(), "{bad:?} was taken");
        }
        assert!("a".repeat(63).parse::<Tenant>().is_ok());
        assert!("ada@example.org".parse::<Owner>().is_ok());
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC*") {
            let _ = (text.parse::<TaskId>(), text.parse::<Tenant>(), text.parse::<Owner>(), text.parse::<Alias>());
        }
    }
}
