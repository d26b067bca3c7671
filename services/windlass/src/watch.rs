//! `windlass watch TASK`: follows one upload until it is completed or failed.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Url;
use serde_json::json;
use windlass_task::TaskId;

use crate::duration::{self, show};
use crate::retry::{Decision, Limits, Policy};
use crate::target::{self, Failure, Target};
use crate::{random, task_name, text};

mod follow;
mod sse;

use follow::{End, Seen, State};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// The flags of `watch`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The task: its id, or the URL of its upload, which names the server too
    #[arg(value_name = "TASK", value_parser = parse_task)]
    task: Task,

    #[command(flatten)]
    target: target::Flags,

    /// Give up when the server could not be reached for this long
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration::parse)]
    give_up_after: Duration,

    /// Print one JSON object a line on stdout for each change instead of drawing a bar
    #[arg(long)]
    json: bool,
}

/// What was given for TASK.
#[derive(Debug, Clone)]
struct Task {
    id: String,
    server: Option<Url>,
}

/// Follows the task. 0: completed; 1: failed, gone, or not to be reached; 2: the command was wrong.
pub async fn run(arguments: Arguments) -> ExitCode {
    let Arguments {
        task,
        mut target,
        give_up_after,
        json,
    } = arguments;
    if let Some(server) = task.server {
        target.to = server;
    }
    let target = match Target::new(&target, CONNECT) {
        Ok(target) => target,
        Err(error) => {
            eprintln!("windlass watch: {}", text::with_causes(&error));
            return ExitCode::from(2);
        }
    };
    let mut view = View::new(&task.id, json);
    match Box::pin(follow(&target, &task.id, give_up_after, &mut view)).await {
        Ok(State::Completed) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(failure) => {
            view.lose(&failure);
            ExitCode::FAILURE
        }
    }
}

/// Follows by events, or by polls once a stream has shown that it does not come through, over any number of
/// connections.
async fn follow(target: &Target, task: &str, give_up_after: Duration, view: &mut View) -> Result<State, Failure> {
    let begun = Instant::now();
    let limits = Limits {
        retries: None,
        give_up_after: Some(give_up_after),
    };
    let mut polling = false;
    let mut heard = 0;
    let mut policy = Policy::new(limits, Duration::ZERO);
    loop {
        let mut last = None;
        let before = heard;
        let mut see = |seen: Seen| {
            last = Some(seen.state);
            heard += 1;
            view.show(&seen);
        };
        let failure = if polling {
            follow::poll(target, task, &mut see).await.err()
        } else {
            match follow::stream(target, task, &mut see).await {
                Ok(()) => None,
                Err(End::Failed(failure)) => Some(failure),
                Err(End::Mute) => {
                    polling = true;
                    continue;
                }
            }
        };
        let Some(failure) = failure else {
            return Ok(last.unwrap_or(State::Failed));
        };
        if heard > before {
            // Each connection that brought something is an advance, whatever the task itself does.
            policy.acknowledged(heard, begun.elapsed());
        }
        match policy.failed(failure.kind(), begun.elapsed(), random::unit()) {
            Decision::Again(wait) => {
                view.note(&format!("again in {}: {}", show(wait), failure.message));
                tokio::time::sleep(wait).await;
            }
            Decision::GiveUp | Decision::Stop => return Err(failure),
        }
    }
}

/// What is seen of it.
struct View {
    task: String,
    bar: ProgressBar,
    json: bool,
    plain: bool,
    shown: Option<(u8, State)>,
}

impl View {
    fn new(task: &str, json: bool) -> Self {
        let terminal = std::io::stderr().is_terminal() && !json;
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("{prefix} {bar:40.cyan/dim} {pos:>3} % {wide_msg}")
            .expect("the template is a constant that every run renders");
        let bar = ProgressBar::with_draw_target(Some(100), target)
            .with_style(style)
            .with_prefix(task.to_owned());
        Self {
            task: task.to_owned(),
            bar,
            json,
            plain: !terminal && !json,
            shown: None,
        }
    }

    fn show(&mut self, seen: &Seen) {
        let now = (seen.progress, seen.state);
        if self.shown.replace(now) == Some(now) {
            return;
        }
        let name = seen.state.name();
        if self.json {
            let mut line = seen.data.clone();
            line["event"] = json!(name);
            line["taskId"] = json!(self.task);
            drop(writeln!(std::io::stdout(), "{line}"));
            return;
        }
        self.bar.set_position(seen.progress.into());
        self.bar
            .set_message(if seen.state == State::Paused { "paused" } else { "" });
        if self.plain {
            eprintln!("{} {name} {} %", self.task, seen.progress);
        }
        if seen.state.is_final() {
            self.bar.abandon_with_message(name);
        }
    }

    fn note(&self, text: &str) {
        self.bar.set_message(text.to_owned());
        if self.plain {
            eprintln!("{} {text}", self.task);
        }
    }

    fn lose(&self, failure: &Failure) {
        self.bar.finish_and_clear();
        if self.json {
            let line = json!({"event": "lost", "taskId": self.task, "status": failure.status, "code": failure.code,
                "message": failure.message});
            drop(writeln!(std::io::stdout(), "{line}"));
        }
        eprintln!("windlass watch: {} [{}]", failure.message, failure.code);
    }
}

/// A task's id, the URL of its upload, or that URL's path.
fn parse_task(text: &str) -> Result<Task, String> {
    if text.parse::<TaskId>().is_ok() {
        return Ok(Task {
            id: text.to_owned(),
            server: None,
        });
    }
    let wrong = || "expected a task id, or the URL of an upload".to_owned();
    if text.starts_with('/') {
        return Ok(Task {
            id: task_name::in_path(text).ok_or_else(wrong)?,
            server: None,
        });
    }
    let mut url = Url::parse(text).map_err(|_| wrong())?;
    let id = task_name::in_url(&url).ok_or_else(wrong)?;
    url.set_path("/");
    url.set_query(None);
    Ok(Task { id, server: Some(url) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "local-01890a5d-ac96-774b-bcce-b302099a8057";

    #[test]
    fn a_task_is_given_by_id_url_or_path() {
        let plain = parse_task(ID).unwrap();
        assert_eq!((plain.id.as_str(), plain.server), (ID, None));
        let url = parse_task(&format!("https://up.example:9/files/default/{ID}/key?x=1")).unwrap();
        assert_eq!(
            (url.id.as_str(), url.server.unwrap().as_str()),
            (ID, "https://up.example:9/")
        );
        assert_eq!(parse_task(&format!("/files/default/{ID}/key")).unwrap().id, ID);
        for wrong in ["", "x", "/files/x", "https://up.example/", "../../etc"] {
            assert!(parse_task(wrong).is_err(), "{wrong}");
        }
    }
}
