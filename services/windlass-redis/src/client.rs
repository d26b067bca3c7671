//! The client: a connection for what is read and written, one more for writes that wait for replicas.

use std::sync::Arc;

use redis::Value;

use crate::error::Error;
use crate::keeper::{Keeper, Making};
use crate::script::Call;
use crate::session::{ANSWER_WITHIN, Prepare, Session};
use crate::settings::{ConfigureError, Durability, Settings};
use crate::strict::Strict;
use crate::subscriptions::{Receiver, Subscriptions};

/// Redis's primary; clones share its connections, the last one closes them.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    library: redis::Client,
    main: Keeper,
    strict: Option<Strict>,
}

impl Client {
    /// A client with these settings, which begins to connect at once. Each connection is made ready by `prepare`.
    ///
    /// # Errors
    /// [`ConfigureError`] for settings that cannot be; that the server is away is no error.
    pub fn open(settings: &Settings, prepare: Option<Arc<dyn Prepare>>) -> Result<Self, ConfigureError> {
        let library = settings.open()?;
        let main = Keeper::start(Making {
            client: library.clone(),
            answer_within: ANSWER_WITHIN,
            prepare: prepare.clone(),
            receiver: None,
            purpose: "commands",
        });
        let strict = match settings.durability {
            Durability::Available => None,
            Durability::Strict => Some(Strict::start(library.clone(), prepare, settings.replicas)),
        };
        Ok(Self {
            inner: Arc::new(Inner { library, main, strict }),
        })
    }

    /// Sends a call that reads, or whose loss does no harm.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn run(&self, call: &Call) -> Result<Value, Error> {
        self.inner.main.session().await?.run(call).await
    }

    /// Sends calls together, each as [`Client::run`].
    ///
    /// # Errors
    /// [`Error`] when none was answered.
    pub async fn run_all(&self, calls: &[Call]) -> Result<Vec<Result<Value, Error>>, Error> {
        self.inner.main.session().await?.run_all(calls).await
    }

    /// Sends a call that writes what will be acknowledged: it is as durable as the settings demand when it is answered.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn write(&self, call: Call) -> Result<Value, Error> {
        match &self.inner.strict {
            None => self.run(&call).await,
            Some(strict) => strict.write(call).await,
        }
    }

    /// Sees that everything that this server has answered so far is as durable as the settings demand.
    ///
    /// # Errors
    /// [`Error`]: it may not be.
    pub async fn confirm(&self, key: &str) -> Result<(), Error> {
        if self.inner.strict.is_none() {
            return Ok(());
        }
        // `WAIT` speaks of what its own connection wrote; a write after all others is as good as all of them.
        let mut write = redis::cmd("SET");
        write.arg(key).arg("").arg("EX").arg(1);
        self.write(write.into()).await.map(drop)
    }

    /// The present connection.
    ///
    /// # Errors
    /// [`Error::Reach`].
    pub async fn session(&self) -> Result<Session, Error> {
        self.inner.main.session().await
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.main.watch().borrow().is_some()
    }

    /// How many connections for commands have been made: each but the first means that one was lost.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.inner.main.made()
    }

    /// Subscriptions on a connection of their own; what comes is told to `receiver`.
    #[must_use]
    pub fn subscriptions(&self, receiver: Arc<dyn Receiver>) -> Subscriptions {
        Subscriptions::start(self.inner.library.clone(), receiver)
    }
}
