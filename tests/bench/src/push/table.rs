//! The rounds and the table.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::publisher::{self, Pace, Way};
use super::swarm::{Heard, Swarm};
use super::work::{Figure, Work};
use super::{Clock, floor};
use crate::process::Process;
use crate::table::{Settings, print_machine, server, spread};

/// After a work's last publication everything has come within this; a machine that is slower has lost something.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two pings of the floor; the service's own default.
const PING_INTERVAL: Duration = Duration::from_secs(15);

type Sample = (Figure, f64);

/// Measures `works` instead of the uploads of `settings`, and prints.
///
/// # Errors
/// When the server cannot be started, or something that was published does not come.
pub fn run(settings: &Settings, works: &[Work]) -> anyhow::Result<()> {
    anyhow::ensure!(settings.rounds > 0, "no rounds");
    raise_descriptors()?;
    let binary = server(settings.server.as_deref(), "windlass-push")?;
    let dir = settings.dir.clone().unwrap_or_else(std::env::temp_dir);
    print_machine(&binary, &dir);
    println!("| figure | unit | measured (min-max) | floor (min-max) | ratio | reach | reached |");
    println!("|---|---|---|---|---|---|---|");
    let wanted = |figure: &&Figure| figure.name().contains(&settings.only);
    for work in works {
        let figures: Vec<_> = work.figures().iter().filter(wanted).collect();
        if figures.is_empty() {
            continue;
        }
        let (mut measured, mut least) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..settings.rounds {
            let floor = Process::push_floor(&dir)?;
            gather(&mut least, measure(work, &floor, Way::Floor)?);
            floor.end()?;
            let service = Process::push(&binary, &dir)?;
            gather(&mut measured, measure(work, &service, work.way())?);
            service.end()?;
        }
        for figure in figures {
            let value = measured.get(figure).context("a figure was not measured")?;
            print_row(*figure, value, least.get(figure).map_or(&[], Vec::as_slice))?;
        }
    }
    Ok(())
}

fn gather(all: &mut BTreeMap<Figure, Vec<f64>>, samples: Vec<Sample>) {
    for (figure, value) in samples {
        all.entry(figure).or_default().push(value);
    }
}

fn print_row(figure: Figure, measured: &[f64], floor: &[f64]) -> anyhow::Result<()> {
    let own = spread(measured.to_vec())?;
    let least = (!floor.is_empty()).then(|| spread(floor.to_vec())).transpose()?;
    // In a run that is too short for the clock of CPU time the floor took none.
    let ratio = least
        .as_ref()
        .filter(|least| least.median > 0.0)
        .map(|least| format!("{:.1}", own.median / least.median))
        .unwrap_or_default();
    let least = least.map(|least| least.to_string()).unwrap_or_default();
    let reach = figure.reach().map(|reach| format!("{reach}")).unwrap_or_default();
    let reached = match figure.reach() {
        Some(reach) if own.median <= reach => "yes",
        Some(_) => "**no**",
        None => "",
    };
    println!(
        "| {} | {} | {own} | {least} | {ratio} | {reach} | {reached} |",
        figure.name(),
        figure.unit()
    );
    Ok(())
}

/// Does `work` once.
fn measure(work: &Work, process: &Process, way: Way) -> anyhow::Result<Vec<Sample>> {
    let (address, clock) = (process.address(), Clock::start());
    match *work {
        Work::Idle { connections, watch } => {
            let before = process.memory()?;
            let mut swarm = swarm(address, way, connections, clock, |number| Some(number as u64))?;
            // The last connections' handshakes are over, and their memory is given back.
            idle(&mut swarm, watch / 10)?;
            let memory = process.memory()?.saturating_sub(before) as f64 / connections as f64;
            let cpu = process.cpu()?;
            let begin = Instant::now();
            if way == Way::Floor {
                let rounds = u32::try_from(watch.as_millis().div_ceil(PING_INTERVAL.as_millis()))?;
                ping(&mut swarm, address, rounds * u32::try_from(connections)?, rounds)?;
                let cpu = micros(process, cpu)? / f64::from(rounds) / PING_INTERVAL.as_secs_f64();
                return Ok(vec![(Figure::IdleCpu, cpu / connections as f64)]);
            }
            idle(&mut swarm, watch)?;
            let cpu = micros(process, cpu)? / begin.elapsed().as_secs_f64();
            Ok(vec![
                (Figure::IdleMemory, memory),
                (Figure::IdleCpu, cpu / connections as f64),
            ])
        }
        Work::FanOut { subscribers, pace } => {
            let mut swarm = swarm(address, way, subscribers, clock, |_| None)?;
            let cpu = process.cpu()?;
            let heard = exchange(&mut swarm, address, way, clock, pace, subscribers as u64, |_| None)?;
            let cpu = micros(process, cpu)?;
            let mut delays = heard.delays;
            delays.sort();
            let at = |share: usize| -> anyhow::Result<f64> {
                let delay = delays.get(delays.len() * share / 100).context("nothing came")?;
                Ok(delay.as_secs_f64() * 1e3)
            };
            Ok(vec![
                (Figure::Delivery, cpu / delays.len() as f64),
                (Figure::DelayMedian, at(50)?),
                (Figure::DelayHigh, at(99)?),
            ])
        }
        Work::Single { channels, pace } | Work::Requests { channels, pace } => {
            let figure = if matches!(work, Work::Single { .. }) {
                Figure::Publication
            } else {
                Figure::Request
            };
            let mut swarm = swarm(address, way, channels, clock, |number| Some(number as u64))?;
            let cpu = process.cpu()?;
            exchange(&mut swarm, address, way, clock, pace, 1, |number| {
                Some(number % channels as u64)
            })?;
            Ok(vec![(figure, micros(process, cpu)? / pace.count as f64)])
        }
    }
}

/// Publishes, and listens until every receiver has everything.
fn exchange(
    swarm: &mut Swarm,
    address: SocketAddr,
    way: Way,
    clock: Clock,
    pace: Pace,
    receivers: u64,
    channel: impl Fn(u64) -> Option<u64> + Send + Sync,
) -> anyhow::Result<Heard> {
    let expected = usize::try_from(pace.count * receivers)?;
    let deadline = Instant::now() + Duration::from_secs_f64(pace.count as f64 / pace.rate) + PATIENCE;
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publisher::publish(address, way, clock, pace, channel));
        let heard = swarm.listen(deadline, |heard| heard.delays.len() >= expected);
        publishing.join().expect("the publisher does not panic")?;
        heard
    })
}

/// Lets the floor ping, and answers.
fn ping(swarm: &mut Swarm, address: SocketAddr, expected: u32, rounds: u32) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let ordering = scope.spawn(|| -> anyhow::Result<()> {
            let mut control: TcpStream = floor::control(address)?;
            (0..rounds).try_for_each(|_| floor::send(&mut control, floor::Order::Ping, b"{}"))
        });
        let heard = swarm.listen(Instant::now() + PATIENCE, |heard| heard.pings >= u64::from(expected));
        ordering.join().expect("the controlling thread does not panic")?;
        heard.map(drop)
    })
}

/// Listens for a while, answering pings.
fn idle(swarm: &mut Swarm, time: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    swarm.listen(end + PATIENCE, |_| Instant::now() >= end).map(drop)
}

fn swarm(
    address: SocketAddr,
    way: Way,
    count: usize,
    clock: Clock,
    receiver: impl Fn(usize) -> Option<u64>,
) -> anyhow::Result<Swarm> {
    match way {
        Way::Floor => Swarm::of_floor(address, count, clock),
        Way::Protocol | Way::Api => {
            Swarm::of_service(address, count, clock, |number| publisher::channel(receiver(number)))
        }
    }
}

/// The CPU time since `before`, in microseconds.
fn micros(process: &Process, before: Duration) -> anyhow::Result<f64> {
    Ok((process.cpu()? - before).as_secs_f64() * 1e6)
}

/// As many descriptors as the system lets this process have; the server inherits the limit.
fn raise_descriptors() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("cannot raise the number of open files")
}
