//! One of each failure that a person can meet. Also compiled into the tests of the command line, whose words are held
//! by the same list.

use std::time::Duration;

use vault_core::identity_file::IdentityFileError;
use vault_core::opening::OpenError;
use vault_core::passphrase_file::UnlockError;
use vault_engine::error::{
    ClientError, CompareProblem, CutOff, CutOffReason, Extent, IoFailure, IoFailureKind, KeptRecording,
    Missing, NextStep, RecordingEnd, SourceChange, SourceFailure,
};
use vault_engine::failure::{Failure, expired, expiry_only_claimed};
use vault_proto::ids::{AccountId, Digest, RecordingId};
use vault_proto::members::{TrustError, TrustProblem};
use vault_proto::problem::{Problem, ProblemCode};
use vault_proto::recording::Refusal;
use vault_proto::statements::Role;
use vault_proto::timestamp::Timestamp;

fn trust(problem: TrustProblem) -> ClientError {
    TrustError { account: AccountId::from_bytes([0xab; 32]), problem }.into()
}

fn comparison(problem: CompareProblem) -> ClientError {
    ClientError::Compare { account: AccountId::from_bytes([0xab; 32]), problem }
}

fn refusal(refusal: Refusal) -> ClientError {
    refusal.into()
}

pub(super) fn problem(code: ProblemCode, detail: Option<&str>) -> ClientError {
    ClientError::Refused(Box::new(Problem::new(
        code,
        detail.map(str::to_owned),
        Some("0123456789abcdef".to_owned()),
    )))
}

pub(super) fn unreachable() -> ClientError {
    ClientError::Unreachable { server: "https://vault.example".into(), reason: "connection refused".into() }
}

fn told(end: RecordingEnd, lost: u64, reason: ClientError, not_kept: Option<ClientError>) -> ClientError {
    let extent = |bytes: u64| Extent { bytes, recorded: Duration::from_millis(bytes / 256) };
    ClientError::Kept(Box::new(KeptRecording {
        recording: RecordingId::from_bytes([0xab; 16]),
        end,
        on_server: extent(5_242_880),
        kept: extent(if end == RecordingEnd::OnServer { 0 } else { 3_145_728 }),
        lost: extent(lost),
        reason,
        not_kept,
        cut_short: None,
    }))
}

fn cut_short(why: SourceFailure) -> ClientError {
    ClientError::CutShort { recording: RecordingId::from_bytes([0xab; 16]), bytes: 157_286_400, why }
}

fn disk(kind: IoFailureKind, reason: &str) -> ClientError {
    ClientError::Disk { place: "talk.webm".into(), why: IoFailure::new(kind, reason) }
}

fn full() -> ClientError {
    disk(IoFailureKind::Full, "no storage space")
}

fn cut_off(seconds: Option<i64>, why: CutOffReason) -> ClientError {
    cut_off_after(1_048_576, seconds, why)
}

fn cut_off_after(bytes: u64, seconds: Option<i64>, why: CutOffReason) -> ClientError {
    let created = Timestamp::from_unix_seconds(1_795_000_000).unwrap();
    ClientError::CutOff(Box::new(CutOff {
        created,
        until: seconds.map(|seconds| created.saturating_add(seconds)),
        last_stored: created.saturating_add(600),
        bytes,
        why,
    }))
}

/// Each by the name that it has in `words.txt`.
pub(super) fn one_of_each() -> Vec<(&'static str, Failure)> {
    let time = Timestamp::from_unix_seconds(1_795_000_000).unwrap();
    let failures: Vec<(&'static str, ClientError)> = vec![
        ("bug", ClientError::Bug("a part was left out".into())),
        ("usage", ClientError::Usage("the patient and the clinician must be different accounts".into())),
        (
            "ambiguous",
            ClientError::Ambiguous {
                prefix: "01234567".into(),
                matches: vec!["0123456789".into(), "0123456780".into()],
            },
        ),
        ("not a reader", OpenError::NotAReader.into()),
        ("damaged", refusal(Refusal::Damaged("segment 0, part 3 is not the part that was sealed".into()))),
        ("cut off", cut_off(None, CutOffReason::NoEnd)),
        ("cut off at a time", cut_off(Some(751), CutOffReason::NoEnd)),
        ("cut off at once", cut_off(Some(0), CutOffReason::NoEnd)),
        ("empty", cut_off_after(0, None, CutOffReason::NoEnd)),
        ("empty and lost", cut_off_after(0, Some(0), CutOffReason::RestLost)),
        (
            "emptied",
            cut_off_after(0, None, CutOffReason::EndForgotten { final_seal: Digest::of(b"the end") }),
        ),
        ("cut off and lost", cut_off(Some(751), CutOffReason::RestLost)),
        (
            "cut off and hidden",
            cut_off(None, CutOffReason::EndHidden { ended: time, final_seal: Digest::of(b"the end") }),
        ),
        (
            "cut off and taken back",
            cut_off(None, CutOffReason::EndForgotten { final_seal: Digest::of(b"the end") }),
        ),
        ("kept", told(RecordingEnd::SealedHere, 0, unreachable(), None)),
        ("kept and refused", told(RecordingEnd::SealedHere, 0, problem(ProblemCode::Forbidden, None), None)),
        ("kept and stopped", told(RecordingEnd::SealedHere, 0, ClientError::Interrupted, None)),
        ("lost", told(RecordingEnd::Unsealed, 1_048_577, unreachable(), Some(full()))),
        ("without an end", told(RecordingEnd::Unsealed, 0, full(), None)),
        ("lost for one reason", told(RecordingEnd::Unsealed, 1_048_577, full(), Some(full()))),
        ("end not noted", told(RecordingEnd::OnServer, 0, full(), None)),
        (
            "source changed",
            cut_short(SourceFailure::Changed(SourceChange::Length { before: 419_430_400, now: 157_286_400 })),
        ),
        (
            "source failed",
            cut_short(SourceFailure::Unreadable(IoFailure::new(IoFailureKind::ReaderGone, "broken pipe"))),
        ),
        ("source unreadable", ClientError::Source(IoFailure::new(IoFailureKind::Other, "timed out"))),
        ("source absent", ClientError::Source(IoFailure::new(IoFailureKind::NotFound, "entity not found"))),
        ("kept part gone", ClientError::KeptPartGone { segment: 0, part: 3 }),
        (
            "mix-up",
            refusal(Refusal::MixUp(
                "its manifest is that of recording 00112233445566778899aabbccddeeff".into(),
            )),
        ),
        (
            "not entitled",
            refusal(Refusal::NotEntitled(
                "it is an age file that was never sealed as part of a recording".into(),
            )),
        ),
        (
            "newer format",
            refusal(Refusal::NewerFormat(
                "the manifest is of a newer format than this program knows (suite 3)".into(),
            )),
        ),
        ("other suite", OpenError::OtherSuite { recording: "x25519", own: "pq" }.into()),
        ("key missing", trust(TrustProblem::Missing)),
        ("key expired", trust(TrustProblem::Expired { what: "certificate", not_after: time })),
        (
            "other organisation",
            trust(TrustProblem::OtherOrganisation(vault_proto::ids::OrganisationId::from_bytes([0xcd; 32]))),
        ),
        ("key list rolled back", trust(TrustProblem::KeyListRolledBack { served: 1, seen: 2 })),
        ("key list forked", trust(TrustProblem::KeyListForked(2))),
        ("wrong role", trust(TrustProblem::Role { found: Role::Clinician, needed: "patient" })),
        ("other suite of key", trust(TrustProblem::NoKeyOfSuite("pq"))),
        (
            "organisation changed",
            trust(TrustProblem::OrganisationChanged {
                pinned: vault_proto::ids::OrganisationId::from_bytes([0xcd; 32]),
                found: vault_proto::ids::OrganisationId::from_bytes([0xef; 32]),
            }),
        ),
        (
            "certificate rolled back",
            trust(TrustProblem::CertificateRolledBack { served: Timestamp::EPOCH, seen: time }),
        ),
        ("compared unequal", trust(TrustProblem::ComparedUnequal { at: time })),
        ("digits differ", comparison(CompareProblem::Unequal)),
        ("comparison interfered with", comparison(CompareProblem::Replaced)),
        ("comparison without an end", comparison(CompareProblem::TimedOut)),
        ("not found", ClientError::NotFound("recording 00112233445566778899aabbccddeeff".into())),
        ("no longer listed", ClientError::NoLongerListed),
        ("shown less", ClientError::ShownLess),
        (
            "unreachable",
            ClientError::Unreachable {
                server: "https://vault.example".into(),
                reason: "connection refused".into(),
            },
        ),
        (
            "off protocol",
            ClientError::Protocol {
                server: "https://vault.example".into(),
                reason: "an answer of more than 65536 bytes".into(),
            },
        ),
        (
            "too large for a proxy",
            ClientError::TooLargeForProxy { server: "https://vault.example".into(), bytes: 1_048_848 },
        ),
        ("disk full", full()),
        ("disk with small files only", disk(IoFailureKind::TooLarge, "file too large")),
        ("disk read-only", disk(IoFailureKind::ReadOnly, "read-only filesystem or storage medium")),
        ("disk damaged", disk(IoFailureKind::Damaged, "invalid data")),
        ("disk path", disk(IoFailureKind::NotFound, "entity not found")),
        ("wrong passphrase", IdentityFileError::from(UnlockError::WrongPassphrase).into()),
        ("identity damaged", IdentityFileError::from(UnlockError::Damaged).into()),
        ("identity contents", IdentityFileError::Contents(3).into()),
        ("device key gone", ClientError::DeviceKeyGone),
        ("not set up", ClientError::NotSetUp(Missing::Identity("/home/p/.config/recording-vault".into()))),
        ("not enrolled", ClientError::NotSetUp(Missing::Enrolment("/home/p/.config/recording-vault".into()))),
        ("no certificate", ClientError::NotSetUp(Missing::Certificate)),
        ("no organisation root", ClientError::NotSetUp(Missing::OrganisationRoot("registrar".into()))),
        (
            "declined",
            ClientError::Declined {
                what: "this recording is only 11 seconds long".into(),
                next: "Name an earlier moment, or " + NextStep::NoMoment + ".",
            },
        ),
        ("storage full", problem(ProblemCode::StorageFull, None)),
        ("clock", problem(ProblemCode::SignatureStale, Some("The server's time is 2026-11-21T09:30:00Z."))),
        (
            "signed for another name",
            problem(
                ProblemCode::SignatureInvalid,
                Some("This server is reached as vault.example, localhost:8440."),
            ),
        ),
        ("unknown key", problem(ProblemCode::UnknownKey, None)),
        (
            "certificate not newer",
            problem(
                ProblemCode::CredentialsRefused,
                Some("The certificate is not newer than the current one."),
            ),
        ),
        ("own certificate expired, as the server says", problem(ProblemCode::CertificateExpired, None)),
        (
            "refused",
            problem(ProblemCode::StatementRefused, Some("The seal does not fit the parts that are stored.")),
        ),
    ];
    let mut told: Vec<(&'static str, Failure)> =
        failures.into_iter().map(|(name, error)| (name, error.into())).collect();
    let found = TrustProblem::Expired { what: "certificate", not_after: time };
    told.push(("own certificate expired, as found here", expired(Some(&found))));
    told.push(("own certificate expired, and it is not", expiry_only_claimed()));
    let exists = IoFailure::new(IoFailureKind::Exists, "entity already exists");
    told.push(("file exists", Failure::output("talk.webm", &exists)));
    told
}
