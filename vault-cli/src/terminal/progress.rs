//! How far work has come, shown while it lasts and only on a terminal.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use vault_client::sealing::{Objection, RecordingProgress, ServerState};
use vault_engine::elapsed::elapsed;

use super::Terminal;
use crate::wrapping::columns;

/// Work that takes less time shows no progress.
const PATIENCE: Duration = Duration::from_secs(1);
/// Fewest columns in which there is room for a bar beside the figures.
const ROOM_FOR_A_BAR: usize = 72;

impl Terminal {
    /// Progress of a recording while it is made, shown only on a terminal.
    pub(crate) fn live(&self) -> Live<'_> {
        let visible = !self.quiet && !self.json && io::stderr().is_terminal();
        Live { terminal: self, bar: visible.then(live_bar) }
    }

    /// Progress over `total` bytes, shown only on a terminal and only once the work takes longer.
    pub(crate) fn progress(&self, what: &'static str, total: Option<u64>) -> Progress {
        let visible = !self.quiet && !self.json && io::stderr().is_terminal();
        Progress { what, total, begun: 0, done: 0, since: Instant::now(), visible, bar: None }
    }
}

/// A progress bar that appears when the work turns out to be long.
pub(crate) struct Progress {
    what: &'static str,
    total: Option<u64>,
    /// What was done before this began: it says nothing of how fast things go now.
    begun: u64,
    done: u64,
    since: Instant,
    visible: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts from `done` bytes, which an earlier run has done.
    pub(crate) fn start(&mut self, done: u64, total: Option<u64>) {
        (self.begun, self.done, self.total, self.since) = (done, done, total, Instant::now());
        self.bar = None;
    }

    /// Has come as far as `done` bytes.
    pub(crate) fn reach(&mut self, done: u64) {
        self.done = done;
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
        let left = self.total.map(|total| total.saturating_sub(self.done));
        let speed = speed(self.done.saturating_sub(self.begun), left, self.since.elapsed());
        let bar = self.bar.get_or_insert_with(|| bar(self.what, self.total));
        bar.set_prefix(speed);
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

/// How many bytes a second were moved, and how long what is left takes at that.
fn speed(moved: u64, left: Option<u64>, time: Duration) -> String {
    let per_second = u128::from(moved) * 1000 / time.as_millis().max(1);
    let per_second = u64::try_from(per_second).unwrap_or(u64::MAX);
    let left = left.and_then(|left| left.checked_div(per_second));
    let left = left.map_or_else(String::new, |left| format!(", {} left", elapsed(Duration::from_secs(left))));
    format!("{}/s{left}", BinaryBytes(per_second))
}

fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let is_wide = columns(&io::stderr()).is_none_or(|columns| columns >= ROOM_FOR_A_BAR);
    let template = match total {
        Some(_) if is_wide => "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {prefix}",
        Some(_) => "{msg} {percent} %, {prefix}",
        None => "{msg} {spinner} {binary_bytes} {prefix}",
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
        // Two columns are the sign in front that something goes on.
        let room = columns(&io::stderr()).unwrap_or(80).saturating_sub(2);
        bar.set_message(live_line(now, room));
        // Ticking alone draws only so often, and what is left out then may be the last news for a long time.
        bar.force_draw();
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

/// What the server does if it does not take what is sent, then how far the recording has come: as much of it as fits,
/// what matters most first.
fn live_line(now: &RecordingProgress, room: usize) -> String {
    let trouble = match now.server {
        ServerState::Reachable => None,
        ServerState::Away { .. } => Some("server away"),
        ServerState::Refusing { why: Objection::StoreFull, .. } => Some("store full"),
        ServerState::Refusing { why: Objection::Passing, .. } => Some("server busy"),
        ServerState::Refusing { why: Objection::Lasting, .. } => Some("server refuses"),
    };
    let mut pieces: Vec<String> = trouble.into_iter().map(str::to_owned).collect();
    pieces.push(format!("{} recorded", elapsed(now.recorded)));
    pieces.push(format!("{} s behind", now.behind().as_secs()));
    if now.kept_bytes > 0 {
        pieces.push(format!("{} kept here", BinaryBytes(now.kept_bytes)));
    }
    pieces.push(format!("{} acknowledged", elapsed(now.acknowledged)));
    let mut line = String::new();
    for piece in pieces {
        let comma = if line.is_empty() { "" } else { ", " };
        if line.len() + comma.len() + piece.len() > room {
            break;
        }
        line.push_str(comma);
        line.push_str(&piece);
    }
    line
}

fn live_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_counts_what_was_moved_now() {
        let second = Duration::from_secs(1);
        assert_eq!(speed(3 << 20, Some(6 << 20), second), "3.00 MiB/s, 00:00:02 left");
        assert_eq!(speed(3 << 20, None, 3 * second), "1.00 MiB/s");
        // Nothing came yet: nobody knows how long it takes.
        assert_eq!(speed(0, Some(1), second), "0 B/s");
        assert_eq!(speed(0, Some(1), Duration::ZERO), "0 B/s");
    }

    #[test]
    fn what_was_done_before_is_no_speed() {
        let terminal = Terminal { json: false, quiet: true };
        let mut progress = terminal.progress("sealing", None);
        progress.start(1 << 30, Some(2 << 30));
        progress.reach((1 << 30) + 5);
        assert_eq!((progress.begun, progress.done - progress.begun), (1 << 30, 5));
    }
}
