//! `vault-cli`: record, keep, open and verify sealed recordings from a terminal.
//!
//! [`arguments`] says what can be typed, [`commands`] do it through `vault-client`, [`failure`] decides exit codes and the words
//! of each failure in one place, and [`terminal`] is the only module that prints or asks.

mod arguments;
mod commands;
mod elapsed;
mod failure;
mod local_time;
mod play_server;
mod player;
mod printable;
mod stop;
mod terminal;
mod wrapping;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::stop::Stop;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error),
    };
    let terminal = Terminal::new(arguments.global.json, arguments.global.quiet);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return terminal.fail(&Failure::bug(format!("the runtime could not be started: {error}")));
        }
    };
    let outcome = runtime.block_on(async {
        let stop = Stop::default();
        let mut running = std::pin::pin!(commands::run(arguments, &terminal, &stop));
        loop {
            tokio::select! {
                // First, so that signals are listened for before the command asks or writes anything.
                biased;
                // A command that ends by itself when it is asked gets the chance to, once. Dropping any other removes what
                // it has half-written aside, and gives the terminal back as it was.
                () = interrupted() => if !stop.ask() {
                    return Err(Failure::interrupted());
                },
                outcome = &mut running => return outcome,
            }
        }
    });
    // A thread that still waits for standard input must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => terminal.fail(&failure),
    }
}

/// Help that was asked for, or what is wrong with what was typed: as JSON where that was asked for, as far as could be told.
fn not_understood(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if !error.use_stderr() || !wants_json {
        return match error.print() {
            Err(closed) if closed.kind() == std::io::ErrorKind::BrokenPipe => {
                ExitCode::from(failure::Kind::PipeClosed.exit())
            }
            _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::Kind::Usage.exit())),
        };
    }
    let text = error.render().to_string();
    let what = text.lines().take_while(|line| !line.starts_with("Usage:")).collect::<Vec<_>>().join(" ");
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    Terminal::new(true, true).fail(&Failure::usage(what.strip_prefix("error: ").unwrap_or(&what)))
}

/// Waits for Ctrl-C, a terminal that is closed, or a polite request to stop.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let (Ok(mut terminate), Ok(mut hangup)) =
            (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
        {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            return;
        }
    }
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
