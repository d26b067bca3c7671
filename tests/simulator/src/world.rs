//! One run: everything begins, harm is done for a while, then it is calm and every client must come to its end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use crate::bucket::Bucket;
use crate::client::Client;
use crate::gate::Life;
use crate::pod::Pod;
use crate::random::Random;
use crate::redis::Redis;
use crate::trace::Trace;

/// For how long harm is done: several failovers, kills and pauses.
const HARM: Duration = Duration::from_secs(40);
/// Within which every client must have its file afterwards; longer than any wait of the service.
const PEACE: Duration = Duration::from_secs(600);
/// How long files are left alone with the collectors of garbage, in the end.
const LEFT_ALONE: Duration = Duration::from_secs(180);
const PODS: usize = 3;
const CLIENTS: u64 = 4;

/// A bug that is built into the models, to prove that it would be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mutation {
    /// The store does not compare the token of who commits.
    IgnoreToken,
    /// A failover begins no new generation, so that nothing is reconciled.
    KeepGeneration,
    /// The storage calls durable what it never stores.
    AcknowledgeEarly,
    /// What was written just now is garbage when nobody has recorded it yet.
    CollectAnyAge,
    /// Nobody goes through the storage after a failover.
    NeverWalk,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What happened, a line each.
    pub trace: Vec<String>,
    /// The first promise that was broken.
    pub violation: Option<String>,
}

/// Runs the world of this seed.
///
/// # Panics
/// When the runtime cannot be built.
#[must_use]
pub fn run(seed: u64, mutation: Option<Mutation>) -> Outcome {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread can be built");
    let (trace, violation) = LocalSet::new().block_on(&runtime, live(seed, mutation));
    Outcome { trace, violation }
}

async fn live(seed: u64, mutation: Option<Mutation>) -> (Vec<String>, Option<String>) {
    let (random, trace) = (Random::seeded(seed), Trace::begin());
    let redis = Redis::start(random.clone(), trace.clone(), mutation);
    let bucket = Bucket::start(random.clone(), trace.clone(), mutation);
    let start = || Pod::start(&redis, &bucket);
    let pods = Rc::new(std::cell::RefCell::new((0..PODS).map(|_| start()).collect::<Vec<_>>()));
    let wild = Rc::new(Cell::new(true));
    let mut clients = tokio::task::JoinSet::new();
    for name in 0..CLIENTS {
        let client = Client::new(name, random.clone(), trace.clone(), Rc::clone(&pods), Rc::clone(&wild));
        let wait = random.millis(0, 10_000);
        clients.spawn_local(async move {
            sleep(wait).await;
            let location = client.clone().upload().await;
            (client, location)
        });
    }

    let began = Instant::now();
    while began.elapsed() < HARM && !trace.is_violated() {
        sleep(random.millis(200, 4_000)).await;
        let victim = random.between(0, PODS as u64) as usize;
        let pod = pods.borrow().get(victim).cloned().expect("there are as many pods");
        match random.between(0, 6) {
            0 | 1 => redis.fail_over(random.millis(0, 3_000)),
            2 => redis.go_away(random.millis(100, 8_000)),
            3 => {
                trace.say(&format!("pod {victim} is killed"));
                pod.set(Life::Dead);
                if let Some(place) = pods.borrow_mut().get_mut(victim) {
                    *place = start();
                }
            }
            _ => {
                let wait = random.millis(500, 15_000);
                trace.say(&format!("pod {victim} stands still for {} ms", wait.as_millis()));
                pod.set(Life::Paused);
                tokio::task::spawn_local(async move {
                    sleep(wait).await;
                    pod.set(Life::Running);
                });
            }
        }
    }
    trace.say("it is calm");
    redis.calm();
    bucket.calm();
    wild.set(false);
    let mut files = Vec::new();
    let ended = timeout(PEACE, async {
        while let Some(done) = clients.join_next().await {
            match done {
                Ok(file) => files.push(file),
                Err(_) => trace.violate("a client panicked"),
            }
        }
    });
    if ended.await.is_err() {
        trace.violate("a client has not got its file in the end");
    }
    let whole = timeout(PEACE, async {
        while !redis.is_whole() && mutation != Some(Mutation::NeverWalk) {
            sleep(Duration::from_secs(1)).await;
        }
    });
    if whole.await.is_err() {
        trace.violate("nobody has gone through the storage in the end");
    } else if redis.forgotten() > 0 {
        trace.violate("a task is forgotten that nobody asks for");
    }
    // Whatever is no file of theirs is garbage by now.
    sleep(LEFT_ALONE).await;
    for (client, location) in &files {
        if let Some(location) = location {
            client.verify(location).await;
        }
    }
    trace.take()
}
