//! What a person sees on stderr: bars on a terminal, lines elsewhere, only failures with `--quiet`.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without a terminal, how often a running file says where it is.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The longest name that a bar shows, columns.
const NAME_COLUMNS: usize = 28;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Bars,
    Lines,
    Quiet,
}

/// The whole run.
#[derive(Debug)]
pub(crate) struct Screen {
    mode: Mode,
    bars: MultiProgress,
    total: Option<ProgressBar>,
}

/// One file's part of it.
#[derive(Debug)]
pub(crate) struct Line {
    mode: Mode,
    name: String,
    size: u64,
    bars: MultiProgress,
    bar: ProgressBar,
    said: Mutex<Instant>,
}

impl Screen {
    /// A screen for `files` files.
    pub(crate) fn new(quiet: bool, files: usize) -> Self {
        let mode = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Bars,
            (false, false) => Mode::Lines,
        };
        let target = if mode == Mode::Bars {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bars = MultiProgress::with_draw_target(target);
        let total = (mode == Mode::Bars && files > 1).then(|| {
            let style = style("{pos} of {len} files {wide_msg:.dim}");
            let bar = bars.add(ProgressBar::new(files as u64).with_style(style));
            bar.tick();
            bar
        });
        Self { mode, bars, total }
    }

    /// A file begins.
    pub(crate) fn begin(&self, name: &str, size: u64) -> Line {
        let style = style(
            "{prefix:28} {bar:24.cyan/dim} {percent:>3} % {binary_bytes:>11} of {binary_total_bytes:<11} {wide_msg}",
        );
        let bar = ProgressBar::new(size).with_style(style).with_prefix(shorten(name));
        let bar = match &self.total {
            Some(total) => self.bars.insert_before(total, bar),
            None => self.bars.add(bar),
        };
        Line {
            mode: self.mode,
            name: name.to_owned(),
            size,
            bars: self.bars.clone(),
            bar,
            said: Mutex::new(Instant::now()),
        }
    }

    /// One file more is done with, well or not.
    pub(crate) fn count(&self) {
        if let Some(total) = &self.total {
            total.inc(1);
        }
    }

    /// The bars are not drawn any more.
    pub(crate) fn end(&self) {
        if let Some(total) = &self.total {
            total.finish_and_clear();
        }
    }

    /// A line for a script.
    pub(crate) fn out(&self, text: &str) {
        // A reader that has gone does not want it.
        self.bars.suspend(|| drop(writeln!(std::io::stdout(), "{text}")));
    }

    /// A line for a person, also when quiet.
    pub(crate) fn complain(&self, text: &str) {
        self.bars.suspend(|| eprintln!("windlass put: {text}"));
    }

    /// A line for a person.
    pub(crate) fn tell(&self, text: &str) {
        if self.mode != Mode::Quiet {
            self.bars.suspend(|| eprintln!("{text}"));
        }
    }
}

impl Line {
    /// Bytes up to here are sent or acknowledged.
    pub(crate) fn at(&self, offset: u64) {
        self.bar.set_position(offset);
        if self.mode == Mode::Lines {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.elapsed() >= LINE_EVERY {
                *said = Instant::now();
                eprintln!("{}: {} of {}", self.name, HumanBytes(offset), HumanBytes(self.size));
            }
        }
    }

    /// Says how it stands until that changes.
    pub(crate) fn note(&self, text: &str) {
        self.bar.set_message(text.to_owned());
        if self.mode == Mode::Lines {
            eprintln!("{}: {text}", self.name);
        }
    }

    /// What was noted holds no longer.
    pub(crate) fn clear_note(&self) {
        self.bar.set_message("");
    }

    /// Says something that stays on the screen.
    pub(crate) fn say(&self, text: &str) {
        if self.mode != Mode::Quiet {
            self.bars.suspend(|| eprintln!("{}: {text}", self.name));
        }
    }

    /// Takes the bar away and leaves a line.
    pub(crate) fn finish(self, text: &str) {
        self.bar.finish_and_clear();
        self.say(text);
    }

    /// Takes the bar away and leaves a line, also when quiet.
    pub(crate) fn fail(self, text: &str) {
        self.bar.finish_and_clear();
        self.bars.suspend(|| eprintln!("{}: failed: {text}", self.name));
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant that a test renders")
}

/// The name's end is what tells files of a series apart, its beginning the series.
fn shorten(name: &str) -> String {
    let letters: Vec<char> = name
        .chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect();
    if letters.len() <= NAME_COLUMNS {
        return letters.into_iter().collect();
    }
    let tail = NAME_COLUMNS * 2 / 3;
    let head = NAME_COLUMNS - tail - 1;
    letters[..head]
        .iter()
        .chain(&['…'])
        .chain(&letters[letters.len() - tail..])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shorten("a.bin"), "a.bin");
        let short = shorten(&format!("{}-part-0001.bin", "x".repeat(100)));
        assert_eq!(short.chars().count(), NAME_COLUMNS);
        assert!(short.ends_with("-part-0001.bin") && short.starts_with("xxx"));
        assert_eq!(shorten("a\u{1b}[2Jb"), "a?[2Jb");
    }

    #[test]
    fn every_mode_can_draw() {
        for quiet in [true, false] {
            let screen = Screen::new(quiet, 2);
            let line = screen.begin("a.bin", 100);
            line.at(50);
            line.note("waiting");
            line.clear_note();
            line.finish("done");
            screen.count();
            screen.end();
        }
    }
}
