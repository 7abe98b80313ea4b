//! Finding a player on this machine, and starting it.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::NamedTempFile;
use tokio::process::{Child, Command};

/// A player that is installed here.
pub(crate) enum Player {
    /// A program that plays a list of addresses and ends when it is closed.
    Media { name: &'static str, program: PathBuf },
    /// What opens a page in the browser, and ends at once.
    Browser(PathBuf),
}

/// A player that was started, with the private file that told it what to play.
pub(crate) struct Started {
    /// Ends when the person closes it; `None` if nobody can tell when that is.
    pub(crate) child: Option<Child>,
    /// What it reads the address from, and what else it is told; removed on drop.
    _files: Vec<NamedTempFile>,
}

/// mpv's `--start` is for every entry of a list; this ends it with the first.
const START_ONCE: &str =
    "mp.register_event(\"file-loaded\", function() mp.set_property(\"options/start\", \"none\") end)\n";

impl Player {
    /// The first of mpv, vlc and the platform's browser, where there is a screen to show it on.
    pub(crate) fn find() -> Option<Self> {
        let mac = cfg!(target_os = "macos");
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !mac && !set("DISPLAY") && !set("WAYLAND_DISPLAY") {
            return None;
        }
        for name in ["mpv", "vlc"] {
            if let Some(program) = on_path(name) {
                return Some(Self::Media { name, program });
            }
        }
        on_path(if mac { "open" } else { "xdg-open" }).map(Self::Browser)
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Media { name, .. } => name,
            Self::Browser(_) => "the browser",
        }
    }

    /// Has it play `tracks` from `start` on, or show `page`. Addresses stand in a file that only its owner can read:
    /// the arguments of a program can be read by everybody on a machine.
    pub(crate) fn start(&self, page: &str, tracks: &[(u8, String)], start: Duration) -> io::Result<Started> {
        let (suffix, text) = match self {
            Self::Media { .. } => (".m3u", list(tracks, start)),
            Self::Browser(_) => (".html", redirection(page)),
        };
        let list = private_file(suffix, &text)?;
        let (program, mut arguments) = self.command(list.path(), start);
        let mut files = vec![list];
        if matches!(self, Self::Media { name: "mpv", .. }) && tracks.len() > 1 && !start.is_zero() {
            let script = private_file(".lua", START_ONCE)?;
            let mut option = OsString::from("--script=");
            option.push(script.path());
            arguments.insert(0, option);
            files.push(script);
        }
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.kill_on_drop(true).spawn()?;
        let child = match self {
            Self::Media { .. } => Some(child),
            Self::Browser(_) => {
                tokio::spawn(async move { child.wait_with_output().await.map(drop) });
                None
            }
        };
        Ok(Started { child, _files: files })
    }

    fn command(&self, list: &Path, start: Duration) -> (&Path, Vec<OsString>) {
        match self {
            Self::Media { name: "mpv", program } => {
                let mut arguments = vec![OsString::from(format!("--start={}", start.as_secs_f64()))];
                arguments.extend(["--force-window=yes".into(), "--".into(), list.into()]);
                (program, arguments)
            }
            Self::Media { program, .. } => {
                (program, vec!["--no-one-instance".into(), "--play-and-exit".into(), list.into()])
            }
            Self::Browser(program) => (program, vec![list.into()]),
        }
    }
}

/// A file that only its owner can read. It lies in the owner's home folder, under a name that does not begin with a
/// dot: of anywhere else, browsers and players that are packaged as snaps see nothing, or a `/tmp` of their own.
fn private_file(suffix: &str, text: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("vault-play-").suffix(suffix);
    let at_home = dirs::home_dir().and_then(|home| builder.tempfile_in(home).ok());
    let mut file = at_home.map_or_else(|| builder.tempfile(), Ok)?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    Ok(file)
}

/// A playlist. The start is for vlc; mpv takes it as an option.
fn list(tracks: &[(u8, String)], start: Duration) -> String {
    let mut text = "#EXTM3U\n".to_owned();
    if !start.is_zero() {
        text.push_str(&format!("#EXTVLCOPT:start-time={}\n", start.as_secs_f64()));
    }
    for (_, track) in tracks {
        text.push_str(track);
        text.push('\n');
    }
    text
}

/// A page that leads to another.
fn redirection(page: &str) -> String {
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">\
         <meta http-equiv=\"refresh\" content=\"0;url={page}\"><title>Recording</title>"
    )
}

fn on_path(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    let Ok(metadata) = path.metadata() else {
        return false;
    };
    #[cfg(unix)]
    let runs = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0;
    #[cfg(not(unix))]
    let runs = true;
    metadata.is_file() && runs
}
