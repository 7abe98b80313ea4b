//! `seal` and `resume`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vault_client::Session;
use vault_client::sealing::{
    self, Ending, Objection, RecordingProgress, ResumedUpload, SealRequest, Sealed, ServerState, UploadEvent,
};
use vault_engine::elapsed::elapsed;
use vault_engine::home::Home;
use vault_engine::home::names::Names;
use vault_engine::media_type::is_media_type;
use vault_engine::opening::media::Medium;
use vault_engine::trust::directory;
use vault_proto::ids::ConsultationId;

use super::{breaks::tell_breaks, reading::counted, whom};
use crate::failure::{self, Code, Failure, not_begun, unreadable};
use crate::stop::Stop;
use crate::terminal::Terminal;

/// What was typed.
pub(crate) struct Wanted {
    pub(crate) file: PathBuf,
    pub(crate) patient: String,
    pub(crate) clinician: String,
    pub(crate) consultation: Option<ConsultationId>,
    pub(crate) title: Option<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) pad: bool,
}

impl Wanted {
    /// Refuses what cannot be meant, before anything is asked.
    pub(crate) async fn check(&self, home: &Home) -> Result<(), Failure> {
        if let Some(given) = self.media_type.as_deref().filter(|given| !is_media_type(given)) {
            return Err(Failure::usage(format!("{given:?} is not a media type such as video/webm")));
        }
        for account in [&self.patient, &self.clinician] {
            directory::resolve_near(home, account).await?;
        }
        if self.file == Path::new("-") {
            return Ok(());
        }
        let unreadable = |error: io::Error| Failure {
            means: "Nothing was done; what an earlier run had sealed of it stays as it is.".to_owned(),
            ..unreadable(&self.file.display().to_string(), &error)
        };
        let found = fs::metadata(&self.file).map_err(unreadable)?;
        if found.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        // A pipe would wait here for whoever writes into it.
        if found.is_file() { File::open(&self.file).map(drop).map_err(unreadable) } else { Ok(()) }
    }
}

/// Seals a recording.
pub(crate) async fn seal(
    session: &Session,
    terminal: &Terminal,
    wanted: Wanted,
    stop: &Stop,
) -> Result<(), Failure> {
    let request = SealRequest {
        patient: whom::resolve(session, terminal, &wanted.patient).await?,
        clinician: whom::resolve(session, terminal, &wanted.clinician).await?,
        consultation: wanted.consultation,
        title: wanted.title,
        media_type: wanted.media_type,
        pad: wanted.pad,
    };
    let sealed = if passes_once(&wanted.file) {
        seal_stream(session, terminal, &wanted.file, &request, stop).await?
    } else {
        seal_file(session, terminal, &wanted.file, &request, stop).await?
    };
    let names = Names::read(session.home()).await?;
    terminal.say(&format!(
        "Sealed {} bytes in {} for patient {} and clinician {}. Nobody else can open them.",
        sealed.bytes,
        if sealed.segments == 1 { "1 segment".to_owned() } else { format!("{} segments", sealed.segments) },
        names.show(request.patient),
        names.show(request.clinician)
    ));
    if terminal.json() {
        terminal.document(&serde_json::json!({
            "recording": sealed.recording, "segments": sealed.segments, "bytes": sealed.bytes, "sha256": sealed.sha256,
        }))
    } else {
        terminal.data(&sealed.recording.to_string())
    }?;
    let media: Vec<&Medium> = sealed.media.iter().collect();
    tell_breaks(terminal, &sealed.recording.short(), &media);
    if sealed.bytes > 0 {
        return Ok(());
    }
    Err(Failure::new(
        Code::Partly,
        format!("There was nothing to seal: recording {} is empty.", sealed.recording),
        "It is on the server, complete and without a byte in it.",
        "If something should be in it, look for what the program that made the source says itself, then seal again.",
    ))
}

async fn seal_file(
    session: &Session,
    terminal: &Terminal,
    file: &Path,
    request: &SealRequest,
    stop: &Stop,
) -> Result<Sealed, Failure> {
    let mut on_event = shown(terminal, "Sealing recording");
    Ok(sealing::seal_file(session, file, request, stop.asked(), &mut on_event).await?)
}

/// Shows how far the sealing of files has come; `begun` says what each of them is.
fn shown(terminal: &Terminal, begun: &'static str) -> impl FnMut(UploadEvent) + Send {
    let mut progress = terminal.progress("sealing", None);
    let mut total = None;
    move |event| match event {
        UploadEvent::Begun { recording, total: bytes } => {
            total = bytes;
            progress.start(0, total);
            terminal.say(&format!("{begun} {recording}"));
        }
        UploadEvent::Continued { bytes } => {
            progress.start(bytes, total);
            terminal.say(&format!("Going on where the upload was interrupted, after {bytes} bytes"));
        }
        UploadEvent::Stopping => terminal.say(STOPPING),
        UploadEvent::NameLeadsElsewhere => terminal.say(NAME_LEADS_ELSEWHERE),
        UploadEvent::Progress(now) => progress.reach(now.acknowledged_bytes),
    }
}

const STOPPING: &str =
    "Ending the recording: what the server does not take at once is kept. Ctrl-C again waits for nothing.";

const NAME_LEADS_ELSEWHERE: &str = "The file's name leads to another file by now: sealed is the one that it led to at first, all of it, and not the other.";

/// What is said of the server and the spool, each time that it changes.
fn standing(now: &RecordingProgress) -> &'static str {
    match (now.server, now.spool_fails) {
        (ServerState::Reachable, false) => "The server takes what is sent again.",
        (ServerState::Reachable, true) => {
            "The encrypted spool of this machine cannot be written: the recording waits for the server."
        }
        (ServerState::Away { .. }, false) => {
            "The server cannot be reached: going on into the encrypted spool of this machine."
        }
        (ServerState::Away { .. }, true) => {
            "The server cannot be reached, and the encrypted spool of this machine cannot be written: the recording waits for \
             either. Make room on the disk."
        }
        (ServerState::Refusing { why: Objection::StoreFull, .. }, false) => {
            "The server's store is full: going on into the encrypted spool of this machine. Ask the operator to make room."
        }
        (ServerState::Refusing { why: Objection::StoreFull, .. }, true) => {
            "The server's store is full, and the encrypted spool of this machine cannot be written: the recording waits for \
             either. Make room on the disk, and ask the operator to make some."
        }
        (ServerState::Refusing { why: Objection::Passing, .. }, false) => {
            "The server is busy or fails: going on into the encrypted spool of this machine."
        }
        (ServerState::Refusing { why: Objection::Passing, .. }, true) => {
            "The server is busy or fails, and the encrypted spool of this machine cannot be written: the recording waits for \
             either. Make room on the disk."
        }
        (ServerState::Refusing { why: Objection::Lasting, .. }, _) => {
            "The server refuses what is sent: going on into the encrypted spool of this machine."
        }
    }
}

/// Whether what is named cannot be read a second time: standard input, a pipe or a device.
fn passes_once(file: &Path) -> bool {
    let named = || fs::metadata(file).is_ok_and(|found| !found.is_file() && !found.is_dir());
    file == Path::new("-") || named()
}

async fn seal_stream(
    session: &Session,
    terminal: &Terminal,
    source: &Path,
    request: &SealRequest,
    stop: &Stop,
) -> Result<Sealed, Failure> {
    let live = terminal.live();
    let mut said = None;
    let mut has_begun = false;
    let mut on_event = |event| match event {
        UploadEvent::Begun { recording, .. } => {
            has_begun = true;
            terminal.say(&format!("Recording {recording}"));
        }
        UploadEvent::Continued { .. } => {}
        UploadEvent::NameLeadsElsewhere => terminal.say(NAME_LEADS_ELSEWHERE),
        UploadEvent::Stopping => live.say(STOPPING),
        UploadEvent::Progress(now) => {
            let words = standing(&now);
            let is_well = now.server == ServerState::Reachable && !now.spool_fails;
            if said.map_or(!is_well, |said| said != words) {
                live.say(words);
                said = Some(words);
            }
            live.show(&now);
        }
    };
    // Ctrl-C reaches the encoder too, which then ends its stream properly.
    let source = if source == Path::new("-") {
        standard_input()?
    } else {
        File::open(source).map_err(|error| failure::disk(&source.display().to_string(), &error))?
    };
    let source = sealing::opened(source)?;
    let sealed = sealing::seal_stream(session, source, request, stop.asked(), &mut on_event).await;
    sealed.map_err(|error| {
        let failure = Failure::from(error);
        let is_server = matches!(failure.code, Code::Unreachable | Code::Refused);
        if has_begun || !is_server { failure } else { not_begun(&failure) }
    })
}

/// Standard input without a buffer of this program's own.
fn standard_input() -> Result<File, Failure> {
    let failed = |error: io::Error| failure::disk("Standard input", &error);
    #[cfg(unix)]
    {
        use std::os::fd::AsFd as _;
        Ok(File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?))
    }
    #[cfg(windows)]
    {
        use std::os::windows::io::AsHandle as _;
        Ok(File::from(io::stdin().as_handle().try_clone_to_owned().map_err(failed)?))
    }
}

/// Brings to an end what processes of this home left behind.
pub(crate) async fn resume(session: &Session, terminal: &Terminal) -> Result<(), Failure> {
    let mut on_event = shown(terminal, "Going on with recording");
    let resumed = sealing::resume_all(session, &mut on_event).await?;
    drop(on_event);
    if resumed.busy > 0 {
        terminal.say(&format!(
            "{} being sealed by another process.",
            counted(resumed.busy, "more recording is", "more recordings are")
        ));
    }
    if resumed.uploads.is_empty() && resumed.busy == 0 {
        terminal.say("Nothing was left behind.");
    }
    let mut failures = Vec::new();
    for ResumedUpload { recording, ending } in resumed.uploads {
        match ending {
            Ok(ending) if terminal.json() => terminal.document(&document(&recording.to_string(), ending))?,
            Ok(ending) => terminal.data(&format!("{recording}  {}", words(ending)))?,
            Err(error) => failures.push((recording, Failure::from(error))),
        }
    }
    let Some((_, first)) = failures.first() else {
        return Ok(());
    };
    let code = if failures.len() == 1 { first.code } else { Code::Partly };
    let what: Vec<String> =
        failures.iter().map(|(recording, failure)| format!("{recording}: {}", failure.what)).collect();
    Err(Failure::new(
        code,
        format!("Not everything could be brought to an end. {}", what.join(" ")),
        "What is kept on this machine stays as it was; nothing of it was lost by trying.",
        first.next.clone(),
    ))
}

fn words(ending: Ending) -> String {
    match ending {
        Ending::Complete { bytes } => format!("complete, {bytes} bytes"),
        Ending::CutOff { bytes, kept, lost } => {
            let kept = kept.map_or_else(String::new, |kept| format!(" ({})", elapsed(kept)));
            format!("cut off after {bytes} bytes{kept}; {}", lost_words(lost))
        }
        Ending::Nothing { lost } => format!("empty: nothing of it had been sealed; {}", lost_words(lost)),
    }
}

fn lost_words(lost: Option<Duration>) -> String {
    match lost {
        Some(lost) => format!("{:.1} seconds were lost", lost.as_secs_f64()),
        None => "the file it was sealed from is gone or changed".to_owned(),
    }
}

fn document(recording: &str, ending: Ending) -> serde_json::Value {
    let milliseconds = |time: Option<Duration>| time.map(|time| time.as_millis());
    let (status, bytes, kept, lost) = match ending {
        Ending::Complete { bytes } => ("complete", bytes, None, Some(Duration::ZERO)),
        Ending::CutOff { bytes, kept, lost } => ("cut_off", bytes, kept, lost),
        Ending::Nothing { lost } => ("empty", 0, None, lost),
    };
    serde_json::json!({
        "recording": recording, "status": status, "bytes": bytes,
        "kept_ms": milliseconds(kept), "lost_ms": milliseconds(lost),
    })
}
