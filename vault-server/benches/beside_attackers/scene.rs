use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use vault_proto::ids::RecordingId;
use vault_proto::statements::Role;
use vault_proto::wire::path;

use crate::support::{Call, Draft, Organisation, PATIENT, Person, Server};

/// How long requests took, each until its answer was whole.
#[derive(Default)]
pub(crate) struct Times {
    pub(crate) reads: Vec<Duration>,
    pub(crate) writes: Vec<Duration>,
    /// Requests that were made again because their connection was closed.
    pub(crate) repeated: usize,
}

/// A server, an account that has nothing to do with any attack, and eight that attack.
pub(crate) struct Scene {
    pub(crate) organisation: Organisation,
    pub(crate) server: Server,
    clinician: Person,
    /// Of the clinician: one that is finished, and one whose first segment comes and goes.
    finished: RecordingId,
    growing: RecordingId,
    opening: Vec<u8>,
    part: Vec<u8>,
    pub(crate) hostile: Vec<Person>,
    /// Of the first two of these, of 12 MB; and one whose only segment is open, with the part that is stored in it.
    pub(crate) large: RecordingId,
    pub(crate) open: RecordingId,
    pub(crate) open_part: Vec<u8>,
    /// Small, of the third and the fourth.
    pub(crate) small: RecordingId,
    pub(crate) attackers: reqwest::Client,
    done: AtomicU64,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let organisation = Organisation::new(1);
        let patient = organisation.person(10, Role::Patient);
        let clinician = organisation.person(11, Role::Clinician);
        let role = |number| if number % 2 == 0 { Role::Patient } else { Role::Clinician };
        let hostile: Vec<Person> =
            (0..8).map(|number| organisation.person(20 + number, role(number))).collect();
        let server = Server::start_with(&organisation, PATIENT).await;
        server.enrol(&[&patient, &clinician]).await;
        server.enrol(&hostile.iter().collect::<Vec<_>>()).await;
        let draft = |id, pair: usize| {
            let (patient, clinician) = (&hostile[2 * pair], &hostile[2 * pair + 1]);
            Draft::new(&organisation, id, patient, clinician, clinician)
        };
        let (large, open, small) = (draft(10, 0), draft(11, 0), draft(12, 1));
        server.finish(&large, 12_000_000).await;
        server.create(&open).await;
        server.open(&open, 0).await.ok(201);
        let open_part = open.parts(0, 3_000_000).swap_remove(0);
        server.part(&open, 0, 0, &open_part).await.ok(201);
        server.finish(&small, 1000).await;

        let finished = Draft::new(&organisation, 1, &patient, &clinician, &clinician);
        server.finish(&finished, 3_000_000).await;
        let growing = Draft::new(&organisation, 2, &patient, &clinician, &clinician);
        server.create(&growing).await;
        Self {
            finished: finished.id(),
            growing: growing.id(),
            opening: growing.open(0, 0),
            part: growing.parts(0, 65_536).swap_remove(0),
            large: large.id(),
            open: open.id(),
            small: small.id(),
            open_part,
            attackers: reqwest::Client::builder().no_proxy().build().unwrap(),
            done: AtomicU64::new(0),
            clinician,
            organisation,
            server,
            hostile,
        }
    }

    /// What the account does, so often: three requests that read and three that write, one after the other. As its
    /// client would, it repeats what came to nothing because the connection was closed; the time goes on meanwhile.
    pub(crate) async fn live(&self, cycles: usize, times: &mut Times) {
        let segment = path::segment(&self.growing, 0);
        let reads = [
            (Method::GET, path::RECORDINGS.to_owned(), Vec::new()),
            (Method::GET, path::recording(&self.finished), Vec::new()),
            (Method::GET, path::body(&self.finished, 0), Vec::new()),
        ];
        let writes = [
            (Method::PUT, segment.clone(), self.opening.clone()),
            (Method::PUT, path::part(&self.growing, 0, 0), self.part.clone()),
            (Method::DELETE, segment, Vec::new()),
        ];
        for _ in 0..cycles {
            for request in &reads {
                let began = Instant::now();
                times.repeated += self.until_answered(request).await;
                times.reads.push(began.elapsed());
            }
            for request in &writes {
                let began = Instant::now();
                times.repeated += self.until_answered(request).await;
                times.writes.push(began.elapsed());
            }
        }
    }

    /// Makes a request of the account until it is answered; returns how often it was repeated.
    async fn until_answered(&self, (method, place, body): &(Method, String, Vec<u8>)) -> usize {
        let mut repeated = 0;
        loop {
            let call = Call::new(&self.clinician.device, method.clone(), place.clone(), body.clone());
            let mut request = self
                .server
                .http
                .request(call.method.clone(), format!("{}{place}", self.server.base()))
                .header("host", &call.signed_authority)
                // Only the body of a recording knows what this is.
                .header("range", "bytes=1000000-1065535");
            for (name, value) in call.signature() {
                request = request.header(name, value);
            }
            let answer = async {
                let answer = request.body(call.body).send().await?;
                Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
            };
            if let Ok((status, bytes)) = answer.await {
                assert!(status.is_success(), "{status} {}", String::from_utf8_lossy(&bytes));
                return repeated;
            }
            repeated += 1;
        }
    }

    /// Lets the server notice that an attack has ended.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.live(3, &mut Times::default()).await;
    }

    /// Makes a request for an attack and takes the answer; that it fails is no matter.
    pub(crate) async fn ask(&self, mut call: Call<'_>, signed: bool) {
        call.signed_authority = self.server.address().to_string();
        let mut request =
            self.attackers.request(call.method.clone(), format!("{}{}", self.server.base(), call.path));
        if signed {
            request =
                call.signature().iter().fold(request, |request, (name, value)| request.header(name, value));
        }
        if let Ok(mut answer) = request.body(call.body).send().await {
            while let Ok(Some(_)) = answer.chunk().await {}
        }
        self.count();
    }

    /// Counts something that an attack has done.
    pub(crate) fn count(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Where the server has the details of the small recording.
    pub(crate) fn details_of_small(&self) -> PathBuf {
        self.server.data().join(format!("blobs/rec/{}/details", self.small))
    }
}
