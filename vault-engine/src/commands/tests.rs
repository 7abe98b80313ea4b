use std::time::Duration;

use futures_executor::block_on;
use vault_core::passphrase_file::WorkFactor;
use vault_proto::ids::{OrganisationId, PublicKey};
use vault_proto::statements::Suite;
use zeroize::Zeroizing;

use super::*;
use crate::effects::in_memory::InMemory;
use crate::effects::{Driver as _, Reply, StoreFailure};
use crate::error::{IoFailure, IoFailureKind};
use crate::failure::Failure;
use crate::home::account::NewAccount;
use crate::sealing::{GiveUp, RecorderOptions, RecordingProgress, SealRequest, ServerState};

const SERVER: &str = "https://vault.example";

fn recording(byte: u8) -> RecordingId {
    RecordingId::from_bytes([byte; RecordingId::BYTES])
}

/// Runs an engine on a machine until nothing is left to do, and gives what it told.
fn run(engine: &mut Engine, machine: &InMemory) -> Vec<Outgoing> {
    let mut told = Vec::new();
    while let Some(outgoing) = engine.take(machine.now()) {
        match outgoing {
            Outgoing::Effect(id, effect) => {
                let (reply, answered) = Reply::pair();
                machine.perform(effect, reply);
                engine.answer(id, block_on(answered).unwrap());
            }
            other => told.push(other),
        }
    }
    told
}

fn result(told: Vec<Outgoing>, of: Task) -> Result<Outcome, ClientError> {
    let mut results = told.into_iter().filter_map(|outgoing| match outgoing {
        Outgoing::Done(task, result) if task == of => Some(*result),
        _ => None,
    });
    let result = results.next().unwrap();
    assert!(results.next().is_none(), "a command is done once");
    result
}

fn machine_with_account(passphrase: &str) -> (Arc<InMemory>, vault_proto::ids::AccountId) {
    let machine = Arc::<InMemory>::default();
    let driver: Arc<InMemory> = Arc::clone(&machine);
    let home = Home::new(Effects::new(driver), "home");
    let account = NewAccount::generate(home.effects(), Suite::X25519).unwrap();
    let enrolment = Enrolment {
        server: SERVER.to_owned(),
        organisation: OrganisationId::of_root(&PublicKey::from_bytes([7; 32])),
    };
    block_on(async {
        account.store(&home, &passphrase.to_owned().into(), WorkFactor::LEAST).await.unwrap();
        home.set_enrolment(&enrolment).await.unwrap();
    });
    (machine, account.account)
}

fn unlock(passphrase: &str) -> Command {
    let key = Key::Passphrase(passphrase.to_owned().into());
    Command::Unlock { key, server: None, retry_for: Some(Duration::ZERO) }
}

/// What another language hands in and takes out has no lifetime and no parameter, or it could not be named here. A
/// closure could neither be shown nor looked at from two threads.
#[test]
fn what_crosses_into_another_language_is_data() {
    type In = (Command, Said, Key, GiveUp, Now, Answer);
    type Out = (Outgoing, Outcome, Event, Effect, ClientError, Failure);
    const fn is_owned<T: Send + 'static>() {}
    const fn is_data<T: Sync>() {}
    const fn is_shown<T: std::fmt::Debug>() {}
    is_owned::<(In, Out)>();
    is_data::<(Command, Said, Key, Outcome, Event, ClientError, Failure)>();
    is_shown::<(Answer, Out)>();
}

#[test]
fn the_right_passphrase_unlocks_until_it_is_locked() {
    let (machine, account) = machine_with_account("a passphrase of a person");
    let mut engine = Engine::new("home");
    let wrong = engine.start(unlock("another passphrase"));
    assert!(matches!(result(run(&mut engine, &machine), wrong), Err(ClientError::Unlock(_))));
    let list = engine.start(Command::List);
    assert!(matches!(result(run(&mut engine, &machine), list), Err(ClientError::Usage(_))));
    let right = engine.start(unlock("a passphrase of a person"));
    let unlocked = result(run(&mut engine, &machine), right);
    assert!(matches!(unlocked, Ok(Outcome::Unlocked(unlocked)) if unlocked == account));
    let list = engine.start(Command::List);
    // The device key of this machine is gone: what needs it says so.
    assert!(matches!(result(run(&mut engine, &machine), list), Err(ClientError::DeviceKeyGone)));
    engine.start(Command::Lock);
    let list = engine.start(Command::List);
    assert!(matches!(result(run(&mut engine, &machine), list), Err(ClientError::Usage(_))));
}

#[test]
fn what_is_not_under_way_or_not_open_is_refused() {
    let machine = InMemory::default();
    let mut engine = Engine::new("home");
    let of = recording(1);
    let nobody = vault_proto::ids::AccountId::of_root(&PublicKey::from_bytes([1; 32]));
    let request = SealRequest {
        patient: nobody,
        clinician: nobody,
        consultation: None,
        title: None,
        media_type: None,
        pad: false,
    };
    let said = [
        Said::Write(Zeroizing::new(vec![0])),
        Said::Switch(None),
        Said::Pause,
        Said::GoOn,
        Said::Finish { complete: true, patience: Duration::ZERO },
        Said::Leave,
    ];
    for said in said {
        let task = engine.say(of, said);
        assert!(matches!(result(run(&mut engine, &machine), task), Err(ClientError::Usage(_))));
    }
    assert!(!engine.give_up(of, GiveUp::Now));
    let commands = [
        Command::Read { opened: Handle(0), track: 0, offset: 0, most: 1 },
        Command::Open { recording: of.to_string() },
        Command::Begin { request, options: RecorderOptions::default() },
        Command::Resume,
    ];
    for command in commands {
        let task = engine.start(command);
        assert!(matches!(result(run(&mut engine, &machine), task), Err(ClientError::Usage(_))));
    }
    let close = engine.start(Command::Close { opened: Handle(0) });
    assert!(matches!(result(run(&mut engine, &machine), close), Ok(Outcome::Done)));
}

#[test]
fn a_cancelled_command_asks_for_nothing_and_says_nothing() {
    let mut engine = Engine::new("home");
    let task = engine.start(unlock("a passphrase"));
    let Some(Outgoing::Effect(id, Effect::Load(_))) = engine.take(Now::default()) else {
        panic!("unlocking reads the home");
    };
    assert!(engine.is_awaited(id));
    engine.cancel(task);
    assert!(!engine.is_awaited(id));
    let why = IoFailure::new(IoFailureKind::Other, "a test says so");
    engine.answer(id, Answer::Failed(StoreFailure { place: String::new(), why }));
    assert!(engine.take(Now::default()).is_none());
    // One that was never polled never begins.
    let task = engine.start(unlock("a passphrase"));
    engine.cancel(task);
    assert!(engine.take(Now::default()).is_none());
}

#[test]
fn an_effect_is_answered_once_and_only_by_its_id() {
    let mut engine = Engine::new("home");
    let task = engine.start(unlock("a passphrase"));
    let Some(Outgoing::Effect(id, _)) = engine.take(Now::default()) else {
        panic!("unlocking reads the home");
    };
    engine.answer(EffectId(id.0 + 1), Answer::Records(vec![None]));
    assert!(engine.take(Now::default()).is_none());
    engine.answer(id, Answer::Records(vec![None]));
    engine.answer(id, Answer::Done);
    let told: Vec<Outgoing> = std::iter::from_fn(|| engine.take(Now::default())).collect();
    assert!(matches!(result(told, task), Err(ClientError::NotSetUp(_))));
}

#[test]
fn a_lock_that_comes_for_nobody_is_given_back() {
    let queue = Arc::new(Queue::default());
    let (reply, waits) = Reply::pair();
    queue.perform(Effect::Lock { name: "list".to_owned(), locking: crate::effects::Locking::Wait }, reply);
    let Some(Outgoing::Effect(id, Effect::Lock { .. })) = queue.pop() else {
        panic!("a lock is asked for");
    };
    drop(waits);
    queue.answer(id, Answer::Locked(true));
    assert!(matches!(queue.pop(), Some(Outgoing::Effect(_, Effect::Unlock(name))) if name == "list"));
    assert!(queue.pop().is_none());
}

#[test]
fn newer_progress_takes_the_place_of_what_nobody_has_taken() {
    let queue = Queue::default();
    let tell = |of: u8, bytes: u64| {
        let progress = RecordingProgress {
            recorded: Duration::ZERO,
            bytes,
            acknowledged: Duration::ZERO,
            acknowledged_bytes: 0,
            kept_bytes: 0,
            spool_fails: false,
            server: ServerState::Reachable,
            arrived: 0,
            refused: 0,
        };
        queue.tell(Event::Progress { recording: recording(of), progress });
    };
    tell(1, 10);
    tell(2, 20);
    tell(1, 30);
    let taken: Vec<(RecordingId, u64)> = std::iter::from_fn(|| queue.pop())
        .map(|outgoing| match outgoing {
            Outgoing::Event(Event::Progress { recording, progress }) => (recording, progress.bytes),
            other => panic!("{other:?} was told"),
        })
        .collect();
    assert_eq!(taken, [(recording(1), 30), (recording(2), 20)]);
}

#[test]
fn what_began_before_a_lock_does_not_undo_it() {
    let (machine, _) = machine_with_account("a passphrase of a person");
    let mut engine = Engine::new("home");
    let unlocking = engine.start(unlock("a passphrase of a person"));
    let Some(Outgoing::Effect(id, effect)) = engine.take(machine.now()) else {
        panic!("unlocking reads the home");
    };
    let lock = engine.start(Command::Lock);
    let (reply, answered) = Reply::pair();
    machine.perform(effect, reply);
    engine.answer(id, block_on(answered).unwrap());
    let told = run(&mut engine, &machine);
    assert!(told.iter().any(|outgoing| matches!(outgoing, Outgoing::Done(task, _) if *task == lock)));
    assert!(matches!(result(told, unlocking), Err(ClientError::Usage(_))));
    let list = engine.start(Command::List);
    assert!(matches!(result(run(&mut engine, &machine), list), Err(ClientError::Usage(_))));
}

#[test]
fn a_lock_goes_back_behind_what_was_being_committed() {
    let queue = Arc::new(Queue::default());
    let (reply, waits) = Reply::pair();
    queue.perform(Effect::Commit(Vec::new()), reply);
    let Some(Outgoing::Effect(commit, Effect::Commit(_))) = queue.pop() else {
        panic!("a commit is asked for");
    };
    // The decision is dropped, with its lock: whoever gets that next reads what the commit leaves.
    drop(waits);
    let (nobody, _) = Reply::pair();
    queue.perform(Effect::Unlock("list".to_owned()), nobody);
    let (reply, _sleeps) = Reply::pair();
    queue.perform(Effect::Sleep(Duration::from_secs(1)), reply);
    assert!(matches!(queue.pop(), Some(Outgoing::Effect(_, Effect::Sleep(_)))));
    assert!(queue.pop().is_none());
    queue.answer(commit, Answer::Done);
    assert!(matches!(queue.pop(), Some(Outgoing::Effect(_, Effect::Unlock(_)))));
}
