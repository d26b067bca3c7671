//! The controller of `Platform`: observe → validate → plan → apply → status.

pub mod check;
mod network;
pub mod observe;
pub mod plan;
mod pods;
mod routes;
mod settings;
pub mod status;
pub mod validate;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::effects::{self, Effects};
use observe::Observed;

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is there could not be read.
    #[error(transparent)]
    Observe(#[from] observe::Error),
    /// What would be done must not be.
    #[error(transparent)]
    Check(#[from] check::Violation),
    /// Something was not done.
    #[error(transparent)]
    Apply(#[from] effects::Error),
}

/// What a pass would write, as a text; the same plan as [`pass`] makes, checked alike.
///
/// # Errors
/// When the plan is one that must not be carried out.
pub async fn preview(observed: &Observed) -> Result<String, Error> {
    let plan = plan::plan(observed, validate::validate(observed));
    check::check(&plan, observed)?;
    match &plan.reason {
        plan::Reason::Suspended => return Ok("nothing: spec.suspend is true\n".to_owned()),
        plan::Reason::Invalid(problems) => {
            let lines = problems.iter().map(|problem| format!("nothing: {}\n", problem.message));
            return Ok(lines.collect());
        }
        plan::Reason::Converged | plan::Reason::Differs => {}
    }
    let print = effects::print::Print::default();
    for action in plan.actions {
        print.carry_out(action).await?;
    }
    Ok(print.into_text())
}

/// How a pass ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// How many objects were written or removed.
    pub writes: usize,
}

/// One pass over what was observed. All that is written goes through `effects`.
///
/// # Errors
/// When something was refused or failed. What was done stays done, and the next pass goes on from there.
pub async fn pass(observed: &Observed, effects: &impl Effects) -> Result<Applied, Error> {
    let validated = validate::validate(observed);
    let plan = plan::plan(observed, validated);
    let checked = check::check(&plan, observed);
    let news = status::status(observed, &plan, checked.as_ref().err(), &Time(Timestamp::now()));
    for action in news {
        effects.carry_out(action).await?;
    }
    checked?;
    let writes = plan.actions.len();
    for action in plan.actions {
        effects.carry_out(action).await?;
    }
    Ok(Applied { writes })
}
