//! `seal`.

use std::path::{Path, PathBuf};

use vault_client::directory;
use vault_client::media_type::is_media_type;
use vault_client::names::Names;
use vault_client::upload::{self, SealRequest, UploadEvent};
use vault_proto::ids::ConsultationId;

use super::Unlocked;
use crate::failure::Failure;
use crate::terminal::Terminal;

/// What was typed.
pub(crate) struct Wanted {
    pub(crate) file: PathBuf,
    pub(crate) patient: String,
    pub(crate) clinician: String,
    pub(crate) consultation: Option<ConsultationId>,
    pub(crate) title: Option<String>,
    pub(crate) media_type: Option<String>,
}

/// Seals a recording.
pub(crate) async fn seal(unlocked: &Unlocked, terminal: &Terminal, wanted: Wanted) -> Result<(), Failure> {
    if let Some(given) = wanted.media_type.as_deref().filter(|given| !is_media_type(given)) {
        return Err(Failure::usage(format!("{given:?} is not a media type such as video/webm")));
    }
    let Unlocked { home, connection, .. } = unlocked;
    let request = SealRequest {
        file: (wanted.file != Path::new("-")).then_some(wanted.file),
        patient: directory::resolve_account(connection, home, &wanted.patient).await?,
        clinician: directory::resolve_account(connection, home, &wanted.clinician).await?,
        consultation: wanted.consultation,
        title: wanted.title,
        media_type: wanted.media_type,
    };
    let mut progress = terminal.progress("sealing", None);
    let mut total = None;
    let mut on_event = |event| match event {
        UploadEvent::Begun { recording, total: bytes } => {
            total = bytes;
            progress.set(0, total);
            terminal.say(&format!("Sealing recording {recording}"));
        }
        UploadEvent::Continued { bytes } => {
            progress.set(bytes, total);
            terminal.say(&format!("Going on where the upload was interrupted, after {bytes} bytes"));
        }
        UploadEvent::Acknowledged { bytes } => progress.advance(bytes),
    };
    let sealed =
        upload::seal(connection, home, &unlocked.enrolment, &unlocked.account, &request, &mut on_event)
            .await?;
    drop(progress);
    let names = Names::read(home)?;
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
    }
}
