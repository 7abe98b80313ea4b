//! `vault-cli`: record, keep, open and verify sealed recordings from a terminal.
//!
//! [`arguments`] says what can be typed, [`commands`] do it through `vault-client`, [`failure`] decides exit codes and
//! the words of each failure in one place, and [`terminal`] is the only module that prints or asks.

mod arguments;
mod commands;
mod completions;
mod failure;
mod local_time;
mod play_server;
mod player;
mod printable;
mod stop;
mod terminal;
mod wrapping;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::stop::{GRACE, Signals, Stop};
use crate::terminal::Terminal;

fn main() -> ExitCode {
    let arguments = match typed() {
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
    let outcome = attended(&runtime, arguments, terminal);
    // A thread that still waits for standard input must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => terminal.fail(&failure),
    }
}

/// What was typed. On a narrow terminal each explanation stands below what it explains, for beside it there is hardly
/// room for a word.
fn typed() -> Result<Arguments, clap::Error> {
    let mut command = Arguments::command().next_line_help(terminal::is_narrow());
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Help that was asked for, or what is wrong with what was typed: as JSON where that was asked for, as far as could be
/// told.
fn not_understood(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|argument| argument == "--json");
    if !error.use_stderr() || !wants_json {
        return match terminal::explain(error) {
            Err(closed) if closed.kind() == std::io::ErrorKind::BrokenPipe => {
                ExitCode::from(failure::exit(failure::Code::PipeClosed))
            }
            _ => {
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::exit(failure::Code::Usage)))
            }
        };
    }
    let text = error.render().to_string();
    let what = text.lines().take_while(|line| !line.starts_with("Usage:")).collect::<Vec<_>>().join(" ");
    let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
    Terminal::new(true, true).fail(&Failure::usage(what.strip_prefix("error: ").unwrap_or(&what)))
}

/// Runs a command on a thread of its own: whatever it waits for, this one hears Ctrl-C.
fn attended(runtime: &Runtime, arguments: Arguments, terminal: Terminal) -> Result<(), Failure> {
    let interrupted = failure::interrupted_during(&arguments.command);
    let mut signals = runtime.block_on(async { Signals::listen() });
    let stop = Arc::new(Stop::default());
    let (ended, mut outcome) = oneshot::channel();
    let command = {
        let (stop, handle, interrupted) = (Arc::clone(&stop), runtime.handle().clone(), interrupted.clone());
        move || {
            let outcome = handle.block_on(async {
                tokio::select! {
                    biased;
                    // Dropping a command removes what it has half-written aside, and gives the terminal back as it was.
                    () = stop.dropped() => Err(interrupted),
                    outcome = commands::run(arguments, &terminal, &stop) => outcome,
                }
            });
            // Whoever left it behind has nothing to be told.
            drop(ended.send(outcome));
        }
    };
    if let Err(error) = std::thread::Builder::new().name("command".to_owned()).spawn(command) {
        return Err(Failure::bug(format!("a thread could not be started: {error}")));
    }
    runtime.block_on(async {
        loop {
            tokio::select! {
                () = signals.next() => if !stop.ask() {
                    return match tokio::time::timeout(GRACE, &mut outcome).await {
                        Ok(Ok(outcome)) => outcome,
                        Ok(Err(_)) | Err(_) => Err(interrupted),
                    };
                },
                outcome = &mut outcome => {
                    return outcome.unwrap_or_else(|_| Err(Failure::bug("the command ended without an outcome")));
                }
            }
        }
    })
}
