use super::*;
use crate::broker::Retention;

fn read(json: &str) -> Result<Config, serde_json::Error> {
    serde_json::from_str(json)
}

#[test]
fn the_shipped_values_are_those_of_the_design() {
    let settings = Settings::validate(&Config::default(), false).unwrap();
    assert_eq!(settings.rhythm.interval, Duration::from_secs(15));
    assert_eq!(settings.rhythm.announced, Duration::from_secs(30));
    assert_eq!(settings.rhythm.read_deadline, Duration::from_secs(60));
    assert_eq!(settings.queue_bytes_max, 1024 * 1024);
    assert_eq!(settings.message_bytes_max, 64 * 1024);
    assert_eq!(settings.stale_after, Duration::from_secs(10));
    assert_eq!(settings.leave_grace, Duration::from_secs(5));
    assert!(!settings.messages);
}

#[test]
fn a_position_is_known_for_a_day_or_as_long_as_is_configured_by_either_broker() {
    let hours = |json| {
        let settings = Settings::validate(&read(json).unwrap(), true).unwrap();
        [settings.memory.position_ttl, settings.redis.position_ttl].map(|ttl| ttl.as_secs() / 3_600)
    };
    assert_eq!(hours("{}"), [24; 2]);
    assert_eq!(hours(r#"{"historyMetaTtl":"720h"}"#), [720; 2]);
}

#[test]
fn channels_are_closed_on_a_network_and_open_on_loopback_unless_configured() {
    let of = |settings: Settings| ChannelOptions::clone(settings.channels.options("news").unwrap());
    let closed = of(Settings::validate(&Config::default(), false).unwrap());
    assert_eq!(closed, ChannelOptions::default());
    assert!(!closed.allow_subscribe_for_client && closed.retention().is_none());
    let open = of(Settings::validate(&Config::default(), true).unwrap());
    assert!(open.allow_publish_for_client && !open.retention().is_none());
    let config = read(r#"{"channels":{"history_size":5,"history_ttl":"5m"}}"#).unwrap();
    let configured = of(Settings::validate(&config, true).unwrap());
    assert!(!configured.allow_publish_for_client);
    assert_eq!(
        configured.retention(),
        Retention {
            size: 5,
            ttl: Duration::from_secs(300)
        }
    );
}

#[test]
fn what_makes_no_sense_is_named() {
    for (json, field) in [
        (r#"{"heartbeat":{"interval":"0s"}}"#, "heartbeat.interval"),
        (r#"{"heartbeat":{"interval":"70s"}}"#, "heartbeat.readDeadline"),
        (r#"{"connection":{"messageBytes":5}}"#, "connection.messageBytes"),
        (r#"{"connection":{"queueBytes":5}}"#, "connection.queueBytes"),
        (r#"{"connection":{"channels":0}}"#, "connection.channels"),
        (r#"{"connection":{"staleAfter":"0s"}}"#, "connection.staleAfter"),
        (r#"{"connection":{"leaveGrace":"10m"}}"#, "connection.leaveGrace"),
        (r#"{"historyMetaTtl":"10s"}"#, "historyMetaTtl"),
        (r#"{"channels":{"history_size":5}}"#, "channels"),
    ] {
        let error = Settings::validate(&read(json).unwrap(), true).unwrap_err();
        assert_eq!(error.field, field);
    }
}

#[test]
fn unknown_keys_are_refused() {
    assert!(read(r#"{"heartbeats":{}}"#).is_err());
    assert!(read(r#"{"channels":{"historySize":5}}"#).is_err());
    assert!(read(r#"{"heartbeat":{"profile":"turbo"}}"#).is_err());
}
