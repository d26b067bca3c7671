//! The controller of `Platform`: observe → validate → plan → apply → status.

pub mod check;
mod network;
pub mod observe;
pub mod plan;
mod pods;
mod routes;
mod settings;
pub mod status;
mod store;
pub mod validate;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Resource as _;
use kube::core::ApiResource;
use windlass_api::Platform;

use crate::controller::{self, Passed, Tools};
use crate::effects::{self, Effects};
use crate::kind::Kind;
use crate::watch::Reference;
use observe::Observed;

/// On each object: the Platform that it belongs to.
pub const PLATFORM: &str = "windlass.dev/platform";
/// What a Platform makes, in the order in which it is applied: what pods refer to is there before them, and routes last.
pub const KINDS: [Kind; 9] = [
    Kind::ServiceAccount,
    Kind::ConfigMap,
    Kind::NetworkPolicy,
    Kind::Service,
    Kind::Deployment,
    Kind::PodDisruptionBudget,
    Kind::HttpRoute,
    Kind::Ingress,
    Kind::Redis,
];
/// Between two passes over a Platform to which nothing happens: how late a Secret that changed is noticed, for Secrets are
/// not watched.
const AGAIN: Duration = Duration::from_secs(60);

/// Why a pass did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is there could not be read.
    #[error(transparent)]
    Observe(#[from] crate::objects::Error),
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

/// Looks after Platforms.
#[derive(Debug, Clone, Copy)]
pub struct Controller;

impl controller::Controller for Controller {
    const LABEL: &'static str = PLATFORM;
    const WATCHED: &'static [Kind] = &KINDS;
    type Error = Error;

    fn resource(&self) -> ApiResource {
        ApiResource::erase::<Platform>(&())
    }

    async fn pass(&self, tools: &Tools, of: &Reference) -> Result<Passed, Error> {
        let Some(observed) = observe::observe(&tools.client, of).await? else {
            return Ok(Passed::Gone);
        };
        let effects = tools.effects(self.resource(), of, observed.platform.object_ref(&()));
        let Applied { writes } = pass(&observed, &effects).await?;
        Ok(Passed::Done { writes, again: AGAIN })
    }
}
