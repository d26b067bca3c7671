//! Configuration files: YAML into a typed struct.

mod time;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use time::{Time, TimeError};

/// A file that gives no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read configuration file {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is no YAML, or not of the expected shape. Says the key and the line; the cause is part of the text, for it
    /// is all that there is to say.
    #[error("{}: {reason}", path.display())]
    ParseFile {
        /// The file.
        path: PathBuf,
        /// Key, fault, line and column.
        reason: String,
    },
}

/// Reads `path` into a `T`, which must reject unknown keys itself (`#[serde(deny_unknown_fields)]`). An empty file is
/// an empty mapping.
///
/// # Errors
/// When there is no such file, or it does not fit.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::ReadFile {
        path: path.into(),
        source,
    })?;
    let blank = text
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    let text = if blank { "{}" } else { &text };
    serde_yaml::from_str(text).map_err(|error| Error::ParseFile {
        path: path.into(),
        reason: describe(&error),
    })
}

/// The parser's text, with the place also where it leaves it out: at the very beginning of the file.
fn describe(error: &serde_yaml::Error) -> String {
    let text = error.to_string();
    match error.location() {
        Some(place) if !text.contains(" at line ") => {
            format!("{text} at line {} column {}", place.line(), place.column())
        }
        _ => text,
    }
}

/// Reads `path`, or takes the defaults when there is none.
///
/// # Errors
/// As [`read`].
pub fn read_or_default<T: DeserializeOwned + Default>(path: Option<&Path>) -> Result<T, Error> {
    path.map_or_else(|| Ok(T::default()), read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth;

    #[derive(Debug, Default, serde::Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Sample {
        auth: Option<auth::Settings>,
        limit: Option<u32>,
    }

    fn parse(text: &str) -> Result<Sample, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("windlass.yaml");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_that_fits_is_read_and_an_empty_one_gives_defaults() {
        let sample = parse("auth:\n  hs256SecretFile: /run/secret\nlimit: 3\n").unwrap();
        assert_eq!(
            sample.auth.unwrap().keys,
            auth::KeySource::Hs256SecretFile("/run/secret".into())
        );
        assert_eq!(sample.limit, Some(3));
        assert!(parse("").unwrap().auth.is_none());
        assert!(parse("# nothing\n\n").unwrap().limit.is_none());
    }

    #[test]
    fn an_error_names_file_key_and_line() {
        for (text, key, line) in [
            (
                "auth:\n  hs256SecretFile: x\n  hs256Secretfile: y\n",
                "hs256Secretfile",
                "line 3",
            ),
            ("limit: many\n", "limit", "line 1"),
            ("limits: 1\n", "limits", "line 1"),
            ("auth: {}\n", "hs256SecretFile", "line 1"),
            ("limit: 1\nlimit: 2\n", "limit", "line"),
            ("a: [\n", "", "line"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("windlass.yaml"), "{error}");
            assert!(error.contains(key) && error.contains(line), "{error}");
        }
        let error = read::<Sample>(Path::new("/nowhere/x.yaml")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/x.yaml"));
    }
}
