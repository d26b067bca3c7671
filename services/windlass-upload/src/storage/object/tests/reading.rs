//! Objects whose bytes stop coming while they are read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::super::retry::Patience;
use super::proxy::{Asked, Fate};
use super::real::{Kind, Real, in_each_store, storage_that_waits};

in_each_store!(
    a_reading_that_breaks_off_again_and_again_goes_on_where_it_stopped,
    a_reading_never_goes_on_in_other_bytes,
);

const KEY: &str = "of/tests/object";
/// Not of a size that anything is read in.
const BYTES: usize = 1_000_003;
/// After how long a silent store is asked again; as long as may be, for the machine may be busy.
const SILENT: Duration = Duration::from_millis(600);

/// What is done to each reading of an object in turn; the rest passes.
fn each_reading(fates: &'static [Fate]) -> (Arc<AtomicUsize>, impl Fn(&Asked) -> Fate + Send + Sync + 'static) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let judge = move |asked: &Asked| match asked.operation {
        "GetObject" | "ObjectsGetMedia" | "GetBlob" => {
            let fate = fates.get(counted.fetch_add(1, Ordering::SeqCst));
            fate.copied().unwrap_or(Fate::Pass)
        }
        _ => Fate::Pass,
    };
    (asked, judge)
}

fn content(seed: usize) -> Bytes {
    (0..BYTES).map(|at| (at * seed % 251) as u8).collect::<Vec<u8>>().into()
}

async fn a_reading_that_breaks_off_again_and_again_goes_on_where_it_stopped(kind: Kind) {
    const FATES: &[Fate] = &[
        Fate::Cut,
        Fate::Refuse(503, "SlowDown"),
        Fate::LoseBefore,
        Fate::Cut,
        Fate::Stall,
        Fate::HangBefore,
        Fate::Cut,
        Fate::LoseAfter,
        Fate::Cut,
        Fate::Cut,
    ];
    let real = Real::start(kind);
    let (asked, judge) = each_reading(FATES);
    let proxy = real.judged(judge).await;
    let storage = storage_that_waits(&proxy, kind, SILENT);
    let bytes = content(7);
    let written = storage.store.put(KEY, bytes.clone().into(), Patience::REQUEST);
    written.await.unwrap();
    let range = 3..BYTES as u64 - 5;
    let read: Vec<Bytes> = storage.store.read(KEY.to_owned(), range).try_collect().await.unwrap();
    assert!(
        read.concat() == bytes[3..BYTES - 5],
        "other bytes came out than went in"
    );
    assert_eq!(asked.load(Ordering::SeqCst), FATES.len() + 1);
}

async fn a_reading_never_goes_on_in_other_bytes(kind: Kind) {
    let real = Real::start(kind);
    let (asked, judge) = each_reading(&[Fate::Stall]);
    let proxy = real.judged(judge).await;
    let storage = storage_that_waits(&proxy, kind, SILENT);
    let write = async |bytes: Bytes| {
        let written = storage.store.put(KEY, bytes.into(), Patience::REQUEST);
        written.await.unwrap();
    };
    write(content(7)).await;
    let mut read = storage.store.read(KEY.to_owned(), 0..BYTES as u64);
    read.next().await.unwrap().unwrap();
    write(content(11)).await;
    let rest: Result<Vec<Bytes>, _> = read.try_collect().await;
    let error = rest.expect_err("the rest is of another object");
    assert!(!error.is_temporary(), "{error:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
