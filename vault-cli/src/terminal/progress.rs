//! How far work has come, shown while it lasts and only on a terminal.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vault_client::sealing::RecordingProgress;

use super::Terminal;
use crate::elapsed::elapsed;

/// Work that takes less time shows no progress.
const PATIENCE: Duration = Duration::from_secs(1);

impl Terminal {
    /// Progress of a recording while it is made, shown only on a terminal.
    pub(crate) fn live(&self) -> Live<'_> {
        let visible = !self.quiet && !self.json && io::stderr().is_terminal();
        Live { terminal: self, bar: visible.then(live_bar) }
    }

    /// Progress over `total` bytes, shown only on a terminal and only once the work takes longer.
    pub(crate) fn progress(&self, what: &'static str, total: Option<u64>) -> Progress {
        let visible = !self.quiet && !self.json && io::stderr().is_terminal();
        Progress { what, total, done: 0, since: Instant::now(), visible, bar: None }
    }
}

/// A progress bar that appears when the work turns out to be long.
pub(crate) struct Progress {
    what: &'static str,
    total: Option<u64>,
    done: u64,
    since: Instant,
    visible: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts from `done` bytes.
    pub(crate) fn set(&mut self, done: u64, total: Option<u64>) {
        self.done = done;
        self.total = total;
        self.show();
    }

    /// Goes on by `bytes`.
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        self.show();
    }

    fn show(&mut self) {
        if !self.visible || (self.bar.is_none() && self.since.elapsed() < PATIENCE) {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| bar(self.what, self.total));
        bar.set_position(self.done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        None => "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}",
    };
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_message(what)
}

/// How far a recording has come, on one line that is written over.
pub(crate) struct Live<'a> {
    terminal: &'a Terminal,
    bar: Option<ProgressBar>,
}

impl Live<'_> {
    /// Shows how far it has come.
    pub(crate) fn show(&self, now: &RecordingProgress) {
        let Some(bar) = &self.bar else {
            return;
        };
        let mut line = format!(
            "{} recorded, {} acknowledged, {} s behind",
            elapsed(now.recorded),
            elapsed(now.acknowledged),
            now.behind().as_secs()
        );
        if now.kept_bytes > 0 {
            line.push_str(&format!(", {} kept here", indicatif::BinaryBytes(now.kept_bytes)));
        }
        bar.set_message(line);
        bar.tick();
    }

    /// Says something above the line, unless `--quiet`.
    pub(crate) fn say(&self, words: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.terminal.say(words)),
            None => self.terminal.say(words),
        }
    }
}

impl Drop for Live<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn live_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar
}
