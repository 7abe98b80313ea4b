//! The last look: once nothing goes wrong any more, everything that was ever promised is there.

use vault_engine::opening::plaintext_sink::Discard;
use vault_engine::opening::recording::RemoteRecording;
use vault_proto::ids::RecordingId;

use crate::machine::{World, lock};
use crate::programs::{Life, begin, list, open};
use crate::recorders::resume;

impl World {
    /// Everything that the other sealing device has left.
    pub(crate) fn finish_sending(&mut self) {
        for _ in 0..200 {
            self.seal_on();
        }
    }
}

/// Lists and opens everything, on a machine and against a server that are well.
pub(crate) async fn close(life: Life) {
    let Some(session) = begin(&life).await else {
        return;
    };
    let wrong =
        |what: String| lock(&life.world).violation(format!("at the end, program {}: {what}", life.program));
    if life.home_index() == 1 {
        let resumed = resume(&life, &session).await;
        life.look(|world| {
            if !resumed && !world.temper.lied_to_sealer {
                let why = world.last_refusal.clone();
                world.violation(format!("not everything could be resumed: {why}"));
            }
            world.look_at_promises();
        });
    }
    let recordings: Vec<(RecordingId, u64, bool)> = {
        let world = lock(&life.world);
        let home = world.programs[life.program].home;
        let stored = world.server.recordings.iter();
        stored
            .filter_map(|stored| {
                let truth = world.truth.iter().find(|truth| truth.id == stored.id)?;
                let known = world.known_of(home, stored.id).and_then(|entry| entry.final_seal);
                let end = stored.final_seal.as_ref().map(vault_proto::envelope::Envelope::digest);
                // Who was shown an attacker's end first refuses the true one, and has to.
                let agrees = known.is_none() || known == end;
                let padding = truth.padded_length(world.temper.pads) - truth.length();
                let whole = if end.is_some() && truth.live.is_none() {
                    truth.length()
                } else {
                    stored.proven().saturating_sub(padding)
                };
                Some((stored.id, whole, agrees))
            })
            .collect()
    };
    match list(&life, &session).await {
        None => wrong("nothing can be listed".to_owned()),
        Some(listing) => {
            for (recording, _, agrees) in &recordings {
                let listed = listing.recordings.iter().any(|listed| listed.recording == *recording);
                if listed != *agrees {
                    wrong(format!("{recording} listed: {listed}, and agrees with what is known: {agrees}"));
                }
            }
        }
    }
    for (recording, whole, agrees) in recordings {
        match open(&life, &session, recording).await {
            Some(bytes) if !agrees => {
                wrong(format!("{bytes} bytes of {recording} with another end were opened"))
            }
            Some(bytes) if bytes < whole => wrong(format!("{bytes} of {whole} bytes of {recording} opened")),
            Some(_) => {}
            None if agrees => {
                let why = match RemoteRecording::fetch(&session, recording).await {
                    Ok(remote) => remote.write_to(&session, None, &mut Discard, &mut |_| {}).await.err(),
                    Err(error) => Some(error),
                };
                wrong(format!("{recording} does not open: {why:?}"));
            }
            None => {}
        }
    }
}
