//! Effects into a list, for tests.

use std::sync::{Mutex, PoisonError};

use super::{Action, Effects, Error};

/// Remembers what it was told to do, in order.
#[derive(Debug, Default)]
pub struct Record(Mutex<Vec<Action>>);

impl Record {
    /// What it was told so far.
    pub fn actions(&self) -> Vec<Action> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Effects for Record {
    async fn carry_out(&self, action: Action) -> Result<(), Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(action);
        Ok(())
    }
}
