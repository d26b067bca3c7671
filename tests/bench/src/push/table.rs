//! The rounds and the table.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::fleet::{Fleet, Usage};
use super::publisher::{self, Pace, Way};
use super::swarm::{Heard, Swarm, in_turn};
use super::work::{Figure, Through, Work};
use super::{Clock, floor};
use crate::table::{Settings, print_machine, server, spread};

/// After a work's last publication everything has come within this; a machine that is slower has lost something.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two pings of the floor; the service's own default.
const PING_INTERVAL: Duration = Duration::from_secs(15);

type Sample = (Figure, f64);

/// Measures `works` instead of the uploads of `settings`, and prints.
///
/// # Errors
/// When a server cannot be started, or something that was published does not come.
pub fn run(settings: &Settings, works: &[(Work, Through)]) -> anyhow::Result<()> {
    anyhow::ensure!(settings.rounds > 0, "no rounds");
    raise_descriptors()?;
    let binary = server(settings.server.as_deref(), "windlass-push")?;
    let dir = settings.dir.clone().unwrap_or_else(std::env::temp_dir);
    print_machine(&binary, &dir);
    println!("| figure | unit | measured (min-max) | floor (min-max) | ratio | reach | reached |");
    println!("|---|---|---|---|---|---|---|");
    let wanted = |figure: &&Figure| figure.name().contains(&settings.only);
    for (work, through) in works {
        let figures: Vec<_> = work.figures().iter().filter(wanted).collect();
        if figures.is_empty() {
            continue;
        }
        let (mut measured, mut least) = (BTreeMap::new(), BTreeMap::new());
        for _ in 0..settings.rounds {
            let floor = Fleet::floor(&dir)?;
            gather(&mut least, measure(work, &floor, Way::Floor)?);
            floor.end()?;
            let service = match through {
                Through::Memory => Fleet::alone(&binary, &dir)?,
                Through::Redis(count) => Fleet::shared(&binary, &dir, *count)?,
            };
            gather(&mut measured, measure(work, &service, work.way())?);
            service.end()?;
        }
        for figure in figures {
            let value = measured.get(figure).context("a figure was not measured")?;
            print_row(*figure, *through, value, least.get(figure).map_or(&[], Vec::as_slice))?;
        }
    }
    Ok(())
}

fn gather(all: &mut BTreeMap<Figure, Vec<f64>>, samples: Vec<Sample>) {
    for (figure, value) in samples {
        all.entry(figure).or_default().push(value);
    }
}

fn print_row(figure: Figure, through: Through, measured: &[f64], floor: &[f64]) -> anyhow::Result<()> {
    let own = spread(measured.to_vec())?;
    let least = (!floor.is_empty()).then(|| spread(floor.to_vec())).transpose()?;
    // In a run that is too short for the clock of CPU time the floor took none.
    let ratio = least
        .as_ref()
        .filter(|least| least.median > 0.0)
        .map(|least| format!("{:.1}", own.median / least.median))
        .unwrap_or_default();
    let least = least.map(|least| least.to_string()).unwrap_or_default();
    let reach = figure
        .reach(through)
        .map(|reach| format!("{reach}"))
        .unwrap_or_default();
    let reached = match figure.reach(through) {
        Some(reach) if own.median <= reach => "yes",
        Some(_) => "**no**",
        None => "",
    };
    let processes = match through {
        Through::Memory => String::new(),
        Through::Redis(1) => ", 1 process".to_owned(),
        Through::Redis(count) => format!(", {count} processes"),
    };
    println!(
        "| {}{processes} | {} | {own} | {least} | {ratio} | {reach} | {reached} |",
        figure.name(),
        figure.unit()
    );
    Ok(())
}

/// Does `work` once.
fn measure(work: &Work, fleet: &Fleet, way: Way) -> anyhow::Result<Vec<Sample>> {
    let bench = Bench {
        addresses: fleet.addresses(),
        way,
        clock: Clock::start(),
    };
    match *work {
        Work::Idle { connections, watch } => bench.idle(fleet, connections, watch),
        Work::FanOut { subscribers, pace } => {
            let mut swarm = bench.swarm(subscribers, |_| None)?;
            let before = fleet.usage()?;
            let heard = bench.exchange(&mut swarm, pace, subscribers as u64, |_| None)?;
            let used = since(fleet, before)?;
            let mut samples = vec![
                (Figure::Delivery, micros(used.cpu) / heard.delays.len() as f64),
                (Figure::LastHigh, share(heard.last.into_values().collect(), 99)?),
            ];
            for (figure, percent) in [(Figure::DelayMedian, 50), (Figure::DelayHigh, 99)] {
                samples.push((figure, share(heard.delays.clone(), percent)?));
            }
            Ok(samples)
        }
        Work::Single { channels, pace } | Work::Requests { channels, pace } | Work::Rush { channels, pace } => {
            let mut swarm = bench.swarm(channels, |number| Some(number as u64))?;
            let (before, begun) = (fleet.usage()?, Instant::now());
            bench.exchange(&mut swarm, pace, 1, |number| Some(number % channels as u64))?;
            let (wall, used) = (begun.elapsed().as_secs_f64(), since(fleet, before)?);
            let each = |time: Duration| micros(time) / pace.count as f64;
            let mut samples = vec![match work {
                Work::Requests { .. } => (Figure::Request, each(used.cpu)),
                _ => (Figure::Publication, each(used.cpu)),
            }];
            if matches!(work, Work::Rush { .. }) {
                samples.push((Figure::Rate, pace.count as f64 / wall));
            }
            samples.extend(used.redis.map(|redis| (Figure::Redis, each(redis))));
            Ok(samples)
        }
    }
}

/// Clients and publishers of what is measured.
struct Bench {
    addresses: Vec<SocketAddr>,
    way: Way,
    clock: Clock,
}

impl Bench {
    fn idle(&self, fleet: &Fleet, connections: usize, watch: Duration) -> anyhow::Result<Vec<Sample>> {
        let before = fleet.memory()?;
        let mut swarm = self.swarm(connections, |number| Some(number as u64))?;
        // The last connections' handshakes are over, and their memory is given back.
        idle(&mut swarm, watch / 10)?;
        let memory = fleet.memory()?.saturating_sub(before) as f64 / connections as f64;
        let (usage, begin) = (fleet.usage()?, Instant::now());
        if self.way == Way::Floor {
            let rounds = u32::try_from(watch.as_millis().div_ceil(PING_INTERVAL.as_millis()))?;
            self.ping(&mut swarm, rounds * u32::try_from(connections)?, rounds)?;
            let cpu = micros(since(fleet, usage)?.cpu) / f64::from(rounds) / PING_INTERVAL.as_secs_f64();
            return Ok(vec![(Figure::IdleCpu, cpu / connections as f64)]);
        }
        idle(&mut swarm, watch)?;
        let cpu = micros(since(fleet, usage)?.cpu) / begin.elapsed().as_secs_f64();
        Ok(vec![
            (Figure::IdleMemory, memory),
            (Figure::IdleCpu, cpu / connections as f64),
        ])
    }

    /// Publishes, and listens until every receiver has everything.
    fn exchange(
        &self,
        swarm: &mut Swarm,
        pace: Pace,
        receivers: u64,
        channel: impl Fn(u64) -> Option<u64> + Send + Sync,
    ) -> anyhow::Result<Heard> {
        let expected = usize::try_from(pace.count * receivers)?;
        let deadline = Instant::now() + Duration::from_secs_f64(pace.count as f64 / pace.rate) + PATIENCE;
        std::thread::scope(|scope| {
            let publishing = scope.spawn(|| publisher::publish(&self.addresses, self.way, self.clock, pace, channel));
            let heard = swarm.listen(deadline, |heard| heard.delays.len() >= expected);
            publishing.join().expect("the publisher does not panic")?;
            heard
        })
    }

    /// Lets the floor ping, and answers.
    fn ping(&self, swarm: &mut Swarm, expected: u32, rounds: u32) -> anyhow::Result<()> {
        let address = in_turn(&self.addresses, 0)?;
        std::thread::scope(|scope| {
            let ordering = scope.spawn(move || -> anyhow::Result<()> {
                let mut control: TcpStream = floor::control(address)?;
                (0..rounds).try_for_each(|_| floor::send(&mut control, floor::Order::Ping, b"{}"))
            });
            let heard = swarm.listen(Instant::now() + PATIENCE, |heard| heard.pings >= u64::from(expected));
            ordering.join().expect("the controlling thread does not panic")?;
            heard.map(drop)
        })
    }

    fn swarm(&self, count: usize, receiver: impl Fn(usize) -> Option<u64>) -> anyhow::Result<Swarm> {
        match self.way {
            Way::Floor => Swarm::of_floor(in_turn(&self.addresses, 0)?, count, self.clock),
            Way::Protocol | Way::Api => {
                let channel = |number| publisher::channel(receiver(number));
                Swarm::of_service(&self.addresses, count, self.clock, channel)
            }
        }
    }
}

/// Listens for a while, answering pings.
fn idle(swarm: &mut Swarm, time: Duration) -> anyhow::Result<()> {
    let end = Instant::now() + time;
    swarm.listen(end + PATIENCE, |_| Instant::now() >= end).map(drop)
}

/// What a fleet has used since `before`.
fn since(fleet: &Fleet, before: Usage) -> anyhow::Result<Usage> {
    let now = fleet.usage()?;
    Ok(Usage {
        cpu: now.cpu - before.cpu,
        redis: now.redis.zip(before.redis).map(|(now, before)| now - before),
    })
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// What this share of the delays keeps below, milliseconds.
fn share(mut delays: Vec<Duration>, percent: usize) -> anyhow::Result<f64> {
    delays.sort();
    let delay = delays.get(delays.len() * percent / 100).context("nothing came")?;
    Ok(delay.as_secs_f64() * 1e3)
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
