//! Clients that write and keep what was acknowledged by a replica too.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult, cmd};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::world::{Address, PASSWORD, USER};

/// How long a reply may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long replicas may take to confirm, in milliseconds.
const CONFIRM_WITHIN: &str = "500";

/// One connection as a service has it.
pub(crate) async fn connect(address: &Address) -> RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(format!("redis://{USER}:{PASSWORD}@{address}"))?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ANSWER_WITHIN))
        .set_response_timeout(Some(ANSWER_WITHIN));
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// Writes one number after the other to whoever takes it.
pub(crate) struct Writer {
    acknowledged: Arc<Mutex<BTreeSet<u64>>>,
    /// The longest time between two that were acknowledged.
    pause: Arc<Mutex<Duration>>,
    work: JoinHandle<()>,
}

impl Writer {
    pub(crate) fn start(addresses: Vec<Address>) -> Self {
        let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
        let pause = Arc::new(Mutex::new(Duration::ZERO));
        let work = tokio::spawn(write(addresses, Arc::clone(&acknowledged), Arc::clone(&pause)));
        Self {
            acknowledged,
            pause,
            work,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// For how long nothing was acknowledged, at most: printed, and never judged.
    pub(crate) fn pause(&self) -> Duration {
        *self.pause.lock().unwrap()
    }

    /// Ends it; those that were acknowledged.
    pub(crate) async fn end(self) -> BTreeSet<u64> {
        self.work.abort();
        let _ = self.work.await;
        let acknowledged = self.acknowledged.lock().unwrap();
        acknowledged.clone()
    }
}

async fn write(addresses: Vec<Address>, acknowledged: Arc<Mutex<BTreeSet<u64>>>, pause: Arc<Mutex<Duration>>) {
    let (mut number, mut last) = (0, None::<Instant>);
    for address in addresses.iter().cycle() {
        if let Ok(mut connection) = connect(address).await {
            loop {
                number += 1;
                match write_one(&mut connection, number).await {
                    Ok(true) => {
                        acknowledged.lock().unwrap().insert(number);
                        let paused = last
                            .replace(Instant::now())
                            .map_or(Duration::ZERO, |last| last.elapsed());
                        let mut pause = pause.lock().unwrap();
                        *pause = paused.max(*pause);
                    }
                    Ok(false) => {}
                    Err(_) => break,
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a replica has it too.
async fn write_one(connection: &mut MultiplexedConnection, number: u64) -> RedisResult<bool> {
    let set: RedisResult<()> = cmd("SET").arg(key(number)).arg(number).query_async(connection).await;
    set?;
    let confirmed: u32 = cmd("WAIT").arg(1).arg(CONFIRM_WITHIN).query_async(connection).await?;
    Ok(confirmed >= 1)
}

pub(crate) fn key(number: u64) -> String {
    format!("upload:written:{number}")
}
