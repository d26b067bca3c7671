//! What a person sees on stderr: bars on a terminal, lines elsewhere, only failures with `--quiet`.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Without a terminal, how often a running file says where it is.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The longest name that a bar shows, columns.
const NAME_COLUMNS: usize = 24;

/// A bar with figures.
const MOVING: &str = "{prefix:24} {bar:20.cyan/dim} {percent:>3} % {wide_msg}";

/// Without the bar there is room for words on a terminal of 80 columns.
const WAITING: &str = "{prefix:24} {percent:>3} % {wide_msg:.yellow}";

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
    /// Whether the bar shows a note in place of figures.
    noted: AtomicBool,
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

    /// A file begins. `path` is how it was named, which lines repeat; the bar has room for its last part only.
    pub(crate) fn begin(&self, path: &Path, size: u64) -> Line {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let bar = ProgressBar::new(size)
            .with_style(style(MOVING))
            .with_prefix(shorten(&name));
        let bar = match &self.total {
            Some(total) => self.bars.insert_before(total, bar),
            None => self.bars.add(bar),
        };
        Line {
            mode: self.mode,
            name: path.display().to_string(),
            size,
            bars: self.bars.clone(),
            bar,
            noted: AtomicBool::new(false),
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
    /// Sending begins at this offset; what was noted holds no longer.
    pub(crate) fn go(&self, offset: u64) {
        if self.noted.swap(false, Ordering::Relaxed) {
            self.bar.set_style(style(MOVING));
        }
        self.bar.set_position(offset);
        // Or what was there before would count as speed.
        self.bar.reset_eta();
        self.at(offset);
    }

    /// Bytes up to here are sent or acknowledged.
    pub(crate) fn at(&self, offset: u64) {
        self.bar.set_position(offset);
        match self.mode {
            Mode::Bars if !self.noted.load(Ordering::Relaxed) => {
                let (at, size) = (BinaryBytes(offset), BinaryBytes(self.size));
                self.bar
                    .set_message(format!("{at} of {size}, {}/s", BinaryBytes(self.bar.per_sec() as u64)));
            }
            Mode::Lines => {
                let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
                if said.elapsed() >= LINE_EVERY {
                    *said = Instant::now();
                    eprintln!("{}: {} of {}", self.name, BinaryBytes(offset), BinaryBytes(self.size));
                }
            }
            Mode::Bars | Mode::Quiet => {}
        }
    }

    /// Says how it stands until sending goes on.
    pub(crate) fn note(&self, text: &str) {
        self.noted.store(true, Ordering::Relaxed);
        self.bar.set_style(style(WAITING));
        self.bar.set_message(text.to_owned());
        if self.mode == Mode::Lines {
            eprintln!("{}: {text}", self.name);
        }
    }

    /// Says something that stays on the screen.
    pub(crate) fn say(&self, text: &str) {
        if self.mode != Mode::Quiet {
            self.bars.suspend(|| eprintln!("{}: {text}", self.name));
        }
    }

    /// Takes the bar away and leaves a line, unless stdout's own line comes on the same terminal.
    pub(crate) fn finish(self, text: &str) {
        self.bar.finish_and_clear();
        if !std::io::stdout().is_terminal() {
            self.say(text);
        }
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
            let line = screen.begin(Path::new("/x/a.bin"), 100);
            line.at(50);
            line.note("waiting");
            line.go(60);
            line.finish("done");
            screen.count();
            screen.end();
        }
    }
}
