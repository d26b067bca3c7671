use std::fs;
use std::path::Path;

use prometheus_client::registry::Registry;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::reload::Watch;
use super::*;

/// A certificate that ends in March of this year, and its key.
fn pair(year: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 3, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn write(folder: &Path, (certificate, key): &(String, String)) {
    fs::write(folder.join("tls.crt"), certificate).unwrap();
    fs::write(folder.join("tls.key"), key).unwrap();
}

fn settings(folder: &Path) -> Settings {
    let text = format!("certificateFile: {0}/tls.crt\nkeyFile: {0}/tls.key\n", folder.display());
    serde_yaml::from_str(&text).unwrap()
}

struct Setup {
    folder: TempDir,
    registry: Registry,
    tls: Tls,
    watch: Watch,
}

impl Setup {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        write(folder.path(), &pair(2030));
        let mut registry = Registry::default();
        let tls = Tls::new(&settings(folder.path()), Metrics::register(&mut registry)).unwrap();
        Self {
            folder,
            registry,
            tls,
            watch: Watch::default(),
        }
    }

    fn look(&mut self) {
        self.watch.look(&self.tls.inner, false);
    }

    /// When what is shown ends, whether the files hold something else that is of no use, and how often there was a good
    /// and a bad change.
    fn seen(&self) -> (i64, i64, i64, i64) {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(0, |value| value.trim().parse().unwrap())
        };
        (
            value("tls_certificate_not_after_seconds "),
            value("tls_certificate_refused "),
            value("tls_certificate_reloads_total{outcome=\"ok\"} "),
            value("tls_certificate_reloads_total{outcome=\"failed\"} "),
        )
    }
}

const IN_2030: i64 = 1_898_553_600;
const IN_2031: i64 = 1_930_089_600;

#[test]
fn a_new_pair_takes_the_place_of_the_old_one() {
    let mut setup = Setup::new();
    setup.look();
    assert_eq!(setup.seen(), (IN_2030, 0, 0, 0));
    write(setup.folder.path(), &pair(2031));
    setup.look();
    setup.look();
    assert_eq!(setup.seen(), (IN_2031, 0, 1, 0));
}

#[test]
fn a_broken_pair_keeps_the_old_one_and_is_told_once_if_it_stays() {
    let mut setup = Setup::new();
    let (certificate, _) = pair(2031);
    let (_, other_key) = pair(2031);
    for broken in [
        (certificate.clone(), other_key),
        ("no certificate".to_owned(), pair(2031).1),
        (certificate, String::new()),
    ] {
        let (.., failed) = setup.seen();
        write(setup.folder.path(), &broken);
        setup.look();
        assert_eq!(
            setup.seen().3,
            failed,
            "files that are replaced one after the other do not fit for a moment"
        );
        for _ in 0..3 {
            setup.look();
            assert_eq!(setup.seen(), (IN_2030, 1, 0, failed + 1));
        }
    }
    fs::remove_file(setup.folder.path().join("tls.key")).unwrap();
    for failed in [3, 4, 4] {
        setup.look();
        assert_eq!(setup.seen(), (IN_2030, 1, 0, failed));
    }
    write(setup.folder.path(), &pair(2031));
    setup.look();
    assert_eq!(setup.seen(), (IN_2031, 0, 1, 4));
}

#[test]
fn who_asks_by_a_signal_is_answered_at_once() {
    let mut setup = Setup::new();
    write(setup.folder.path(), &(pair(2031).0, pair(2031).1));
    setup.watch.look(&setup.tls.inner, true);
    assert_eq!(setup.seen(), (IN_2030, 1, 0, 1));
}

#[test]
fn what_cannot_be_served_is_a_wrong_configuration() {
    let folder = TempDir::new().unwrap();
    let make = || Tls::new(&settings(folder.path()), Metrics::default()).unwrap_err();
    assert!(matches!(
        make(),
        Error::ReadFile {
            key: "listener.tls.certificateFile",
            ..
        }
    ));
    write(folder.path(), &(pair(2030).0, pair(2030).1));
    assert!(matches!(make(), Error::UsePair(_)), "they do not belong together");
    write(folder.path(), &("-----BEGIN NOTHING-----".to_owned(), pair(2030).1));
    assert!(matches!(
        make(),
        Error::ParseFile {
            key: "listener.tls.certificateFile",
            ..
        }
    ));
    let certificate = pair(2030).0;
    write(folder.path(), &(certificate.clone(), certificate));
    assert!(matches!(
        make(),
        Error::ParseFile {
            key: "listener.tls.keyFile",
            ..
        }
    ));
    write(folder.path(), &pair(2030));
    let nothing = Settings {
        handshakes_max: 0,
        ..settings(folder.path())
    };
    assert!(matches!(
        Tls::new(&nothing, Metrics::default()),
        Err(Error::RequirePositive { name: "handshakesMax" })
    ));
}
