use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use vault_proto::geometry::BodyEnd;
use vault_proto::ids::Digest;
use vault_proto::statements::Role;
use vault_proto::wire::path;
use vault_server::data_folder::init;

use crate::support::{Call, Draft, NOW, Organisation, Person, Validity};

/// The program as a process of its own, which can be killed.
struct Program {
    process: Child,
    address: String,
    http: reqwest::Client,
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

impl Program {
    fn start(data: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_vault-server"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("vault-server listening on http://").unwrap().to_owned();
        Self { process, address, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Ends it at once: nothing of it runs any more.
    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// The answer; none if the program was killed meanwhile.
    async fn ask(
        &self,
        person: &Person,
        method: Method,
        path: String,
        body: Vec<u8>,
    ) -> Option<(u16, Vec<u8>)> {
        let mut call = Call::new(&person.device, method, path, body);
        call.created = now();
        call.signed_authority.clone_from(&self.address);
        let url = format!("http://{}{}", self.address, call.path);
        let request = call
            .signature()
            .iter()
            .fold(self.http.request(call.method.clone(), url), |request, (name, value)| {
                request.header(name, value)
            });
        let answer = request.body(call.body).send().await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.bytes().await.ok()?.to_vec()))
    }

    async fn put(&self, person: &Person, path: String, body: Vec<u8>) -> Option<u16> {
        self.ask(person, Method::PUT, path, body).await.map(|(status, _)| status)
    }
}

/// Killed again and again while parts come over several connections: what was acknowledged is there, whole, and the
/// recording can be filled to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill() {
    let organisation = Organisation::new(1);
    let validity = Validity(now() - NOW - 1000, now() - NOW + 1_000_000);
    let patient = organisation.person_for(10, Role::Patient, validity);
    let clinician = organisation.person_for(11, Role::Clinician, validity);
    let folder = tempfile::tempdir().unwrap();
    init(folder.path(), organisation.id()).unwrap();
    let draft = Draft::dated(organisation.id(), 1, now(), &patient, &clinician, &clinician);
    let id = draft.id();
    let parts = draft.parts(0, 24_000_000);

    let mut program = Program::start(folder.path());
    for person in [&patient, &clinician] {
        let answer = program.ask(person, Method::POST, path::ACCOUNTS.to_owned(), person.enrolment()).await;
        assert_eq!(answer.unwrap().0, 201);
    }
    let created = program.ask(&clinician, Method::POST, path::RECORDINGS.to_owned(), draft.create()).await;
    assert_eq!(created.unwrap().0, 201);
    let opened = program.put(&clinician, path::segment(&id, 0), draft.open(0, 0)).await;
    assert_eq!(opened, Some(201));

    let mut acknowledged = vec![false; parts.len()];
    for round in 1..=3 {
        let count = AtomicUsize::new(0);
        let enough = tokio::sync::Notify::new();
        let puts = parts.iter().enumerate().map(async |(number, part)| {
            let status = program.put(&clinician, path::part(&id, 0, number as u32), part.clone()).await;
            if acknowledged[number] {
                assert!(matches!(status, None | Some(200)), "part {number} was lost: {status:?}");
            }
            if status == Some(201) && count.fetch_add(1, Ordering::SeqCst) == 3 {
                enough.notify_one();
            }
            matches!(status, Some(200 | 201))
        });
        // The last round is allowed to finish.
        if round == 3 {
            assert!(futures_util::future::join_all(puts).await.iter().all(|stored| *stored));
            break;
        }
        let process = program.process.id().to_string();
        let kill = async {
            enough.notified().await;
            assert!(Command::new("kill").args(["-KILL", &process]).status().unwrap().success());
        };
        let (stored, ()) = tokio::join!(futures_util::future::join_all(puts), kill);
        for (number, stored) in stored.into_iter().enumerate() {
            acknowledged[number] |= stored;
        }
        assert!(acknowledged.contains(&true));
        program.kill();
        program = Program::start(folder.path());
    }
    let (status, hashes) = program.ask(&patient, Method::GET, path::parts(&id, 0), Vec::new()).await.unwrap();
    let expected: Vec<u8> = parts.iter().flat_map(|part| *Digest::of(part).as_bytes()).collect();
    assert!(status == 200 && hashes == expected);
    let (status, body) = program.ask(&patient, Method::GET, path::body(&id, 0), Vec::new()).await.unwrap();
    assert!(status == 200 && body == parts.concat());
    let seal = draft.sign_seal(&draft.segment_seal(0, &parts, BodyEnd::Final, None));
    assert_eq!(program.put(&clinician, path::seal(&id, 0), seal.bytes().to_vec()).await, Some(201));
    program.kill();
}
