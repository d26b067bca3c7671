//! The paths of uploads: `/files/<tenant>/<id>[/<key>]`, always path-absolute or under the configured public URL,
//! never built from a `Host` that anybody can send.

use windlass_task::{Alias, TaskKey, Tenant, WriteKey};

use crate::tusd::TakeOver;

/// What an upload's path names. The tenant in it only finds the record; the key or a token decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) tenant: Tenant,
    pub(crate) name: Name,
    pub(crate) key: Option<String>,
}

/// A task's own id, or a foreign name that the store resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Id(windlass_task::TaskId),
    Alias(Alias),
}

impl Target {
    /// Reads the decoded segments of a path; `None` when they can name nothing.
    pub(crate) fn read(tenant: &str, name: &str, key: Option<&str>) -> Option<Self> {
        let tenant = tenant.parse().ok()?;
        let name = match name.parse() {
            Ok(id) => Name::Id(id),
            Err(_) => Name::Alias(name.parse().ok()?),
        };
        Some(Self {
            tenant,
            name,
            key: key.map(str::to_owned),
        })
    }

    /// An upload of tusd's: its name is its key.
    pub(crate) fn read_foreign(name: &str, tusd: &TakeOver) -> Option<Self> {
        Some(Self {
            tenant: tusd.tenant().clone(),
            name: Name::Alias(name.parse().ok()?),
            key: Some(name.to_owned()),
        })
    }
}

/// What a path on this server names: `/files/<tenant>/<id>[/<key>]`, or an upload that was taken over, by its old path.
pub(crate) fn parse_path(path: &str, tusd: Option<&TakeOver>) -> Option<Target> {
    if let Some(name) = tusd.and_then(|tusd| path.strip_prefix(tusd.base_path()))
        && let name = name.strip_suffix('/').unwrap_or(name)
        && !name.contains('/')
    {
        return Target::read_foreign(name, tusd?);
    }
    let mut segments = path.strip_prefix("/files/")?.split('/');
    let (tenant, name, key) = (segments.next()?, segments.next()?, segments.next());
    if segments.next().is_some() {
        None
    } else {
        Target::read(tenant, name, key)
    }
}

/// The URL that a creation answers with.
pub(crate) fn location(public_url: Option<&str>, task: &TaskKey, key: Option<&WriteKey>) -> String {
    let base = public_url.unwrap_or("").trim_end_matches('/');
    match key {
        Some(key) => format!("{base}/files/{}/{}/{}", task.tenant, task.id, key.to_text()),
        None => format!("{base}/files/{}/{}", task.tenant, task.id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_task::{Origin, TaskId};

    #[test]
    fn a_location_leads_back_to_its_task() {
        let task = TaskKey {
            tenant: Tenant::default_tenant(),
            id: TaskId::generate(&Origin::local()),
        };
        let key = WriteKey::random();
        let location = location(None, &task, Some(&key));
        let parts: Vec<_> = location.split('/').collect();
        assert_eq!(parts[..2], ["", "files"]);
        let target = Target::read(parts[2], parts[3], Some(parts[4])).unwrap();
        assert_eq!((target.tenant, target.name), (task.tenant, Name::Id(task.id)));
        assert!(key.hash().admits(&target.key.unwrap()));
    }

    #[test]
    fn a_public_url_is_put_before_without_a_double_slash() {
        let task = TaskKey {
            tenant: Tenant::default_tenant(),
            id: TaskId::generate(&Origin::local()),
        };
        assert!(location(Some("https://up.example.org/"), &task, None).starts_with("https://up.example.org/files/"));
    }

    #[test]
    fn path_tricks_name_nothing() {
        for (tenant, name) in [
            ("..", "a"),
            ("default", "../x"),
            ("default", "a/b"),
            ("default", ""),
            ("Default", "a"),
            ("default", "a\0"),
        ] {
            assert_eq!(Target::read(tenant, name, None), None, "{tenant:?} {name:?}");
        }
    }
}
