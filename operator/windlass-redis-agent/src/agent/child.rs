//! Redis' process: started, heard, given up.

use std::time::Duration;

use tokio::time::Instant;
use windlass_election::{Event, Role, Run};

use super::{Agent, Aim, Error, Redis, Server};
use crate::redis::Info;

/// How long one that was just started may take to answer at all; it answers while it loads its files.
const FIRST_WORD_WITHIN: Duration = Duration::from_secs(30);
/// The pauses before one that ends again and again is started: the first, and the longest.
const START_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];
/// How long replicas may take to have the last writes of a primary that is stopped.
const LAST_WRITES_WITHIN: Duration = Duration::from_millis(500);

/// The process, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct State {
    server: Option<Server>,
    /// Whether it has loaded its files since it was started.
    is_ready: bool,
    /// Since when it has not answered.
    silent: Option<Instant>,
    /// When another may be started, and how long the next pause is.
    start_at: Option<Instant>,
    pause: Duration,
    /// Why there is none.
    trouble: Option<&'static str>,
}

impl State {
    pub(super) fn runs(&self) -> bool {
        self.server.is_some()
    }

    /// Whether it runs and has loaded its files.
    pub(super) fn serves(&self) -> bool {
        self.is_ready
    }

    pub(super) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    pub(super) fn is_ready(&mut self) {
        (self.is_ready, self.pause, self.trouble) = (true, START_PAUSES[0], None);
    }

    pub(super) fn silence(&self) -> Duration {
        self.silent.map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn trouble(&self) -> Option<String> {
        if let (None, Some(cause)) = (&self.server, self.trouble) {
            return Some(format!("redis-server ended ({cause}), and is started again"));
        }
        match (self.is_ready, self.silent) {
            (_, Some(_)) => Some("redis-server does not answer".to_owned()),
            (false, None) => Some("redis-server loads its files".to_owned()),
            (true, None) => None,
        }
    }

    /// Waits until it has ended; for ever while there is none.
    pub(super) async fn ended(&mut self) {
        match &mut self.server {
            Some(server) => match server.ended().await {
                Ok(status) => tracing::warn!(%status, "redis-server ended"),
                Err(error) => tracing::warn!(%error, "redis-server cannot be waited for"),
            },
            None => std::future::pending().await,
        }
    }
}

/// The id of a process: this agent's own, for it tells two apart before they say anything.
pub(super) fn draw() -> Run {
    Run::new(uuid::Uuid::now_v7().simple().to_string())
}

impl Agent {
    /// Starts one, once it is time.
    pub(super) async fn raise(&mut self) -> Result<(), Error> {
        if self.child.start_at.is_some_and(|at| Instant::now() < at) {
            return Ok(());
        }
        let socket = self.folder.join("redis.sock");
        let server = Server::start(&self.settings, socket).await.map_err(Error::Run)?;
        self.guard.watch(Some(server.group()));
        self.child.server = Some(server);
        Ok(())
    }

    /// Asks how it is. One that does not say is connected to anew.
    pub(super) async fn observe(&mut self) -> Option<Info> {
        let redis = self.connected().await?;
        match redis.info().await {
            Ok(info) => {
                self.child.silent = None;
                Some(info)
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "redis does not say how it is");
                self.redis = None;
                None
            }
        }
    }

    /// The connection, made if there is none.
    pub(super) async fn connected(&mut self) -> Option<Redis> {
        if self.redis.is_none() {
            let door = self.door()?;
            match Redis::connect(&door).await {
                Ok(redis) => self.redis = Some(redis),
                Err(error) => tracing::debug!(error = &error as &dyn std::error::Error, "redis is not reached"),
            }
        }
        self.redis.clone()
    }

    /// It did not answer. One that goes on so is killed: another member may be better.
    pub(super) async fn bear_silence(&mut self) -> Result<(), Error> {
        let since = *self.child.silent.get_or_insert_with(Instant::now);
        let most = if self.child.is_ready {
            self.pace.silence
        } else {
            FIRST_WORD_WITHIN
        };
        if since.elapsed() < most {
            return Ok(());
        }
        self.down_and_tell("silent").await
    }

    /// Ends what there is of it, and tells the member.
    pub(super) async fn down_and_tell(&mut self, cause: &'static str) -> Result<(), Error> {
        let run = self.down(cause).await?;
        self.tell(Event::Started { run }, None).await
    }

    /// Ends what there is of it. The next process begins as nobody's replica, so that for the member it has begun now.
    pub(super) async fn down(&mut self, cause: &'static str) -> Result<Run, Error> {
        let cause = if self.guard.has_killed() { "guarded" } else { cause };
        (self.redis, self.info, self.aim) = (None, None, Aim::Alone);
        // Whoever is waited for may have another process's number afterwards.
        self.guard.watch(None);
        let child = std::mem::take(&mut self.child);
        if let Some(server) = child.server {
            tracing::warn!(cause, "redis-server is ended");
            self.metrics.ended(cause);
            server.kill().await.map_err(Error::Run)?;
        }
        let pause = child.pause.max(START_PAUSES[0]);
        self.child.start_at = Some(Instant::now() + pause);
        self.child.pause = (pause * 2).min(START_PAUSES[1]);
        self.child.trouble = Some(cause);
        Ok(draw())
    }

    /// Down in order: a primary's writes end, replicas get the last of them, nobody has the lease, Redis writes its files.
    pub(super) async fn leave(mut self) -> Result<(), Error> {
        let was_open = self.member.is_open();
        if let (true, Some(redis)) = (was_open, self.redis.clone()) {
            let replicas = self.info.as_ref().map_or(0, |info| info.replicas);
            let last = LAST_WRITES_WITHIN.min(self.pace.command / 2);
            let closed = redis.close(&self.settings.users).await;
            if let Err(error) = closed.and(redis.wait(replicas, last).await) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "replicas may lack the last writes"
                );
            }
        }
        if matches!(
            self.member.durable().role,
            Role::Primary | Role::Yielding { .. } | Role::Succeeding { .. }
        ) {
            // What it was ends with its process.
            self.tell(Event::Started { run: draw() }, None).await?;
            self.beside.released(self.pace.ask).await;
        }
        self.guard.watch(None);
        match self.child.server.take() {
            Some(server) => server.stop(self.pace.stop).await.map_err(Error::Run),
            None => Ok(()),
        }
    }
}
