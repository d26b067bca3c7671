//! Effects as a text that says what would be done.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use super::{Action, Effects, Error};

/// Writes a line an action; what is told to people and reported as status is nothing that would be *done*.
#[derive(Debug, Default)]
pub struct Print(Mutex<String>);

impl Print {
    /// The lines, or a sentence that there are none.
    #[must_use]
    pub fn into_text(self) -> String {
        let text = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        if text.is_empty() {
            "nothing to do\n".to_owned()
        } else {
            text
        }
    }
}

impl Effects for Print {
    async fn carry_out(&self, action: Action) -> Result<(), Error> {
        match action {
            Action::Report(_) | Action::Commit { .. } | Action::Tell { .. } => {}
            Action::Apply { .. }
            | Action::Remove { .. }
            | Action::Generate { .. }
            | Action::Label { .. }
            | Action::Restart { .. }
            | Action::Hold { .. }
            | Action::Order { .. } => {
                let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                writeln!(text, "{action}").expect("a text takes what is written");
            }
        }
        Ok(())
    }
}
