use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use vault_proto::ids::Digest;
use vault_proto::statements::Role;
use vault_proto::wire::{MAX_DETAILS, path};

use crate::scene::Scene;
use crate::support::{Call, who_takes_nothing};

type Begun = Pin<Box<dyn Future<Output = Attack> + Send>>;

/// An attack that is going on.
#[derive(Default)]
pub(crate) struct Attack {
    tasks: JoinSet<()>,
    held: Vec<TcpStream>,
    answers: Vec<(reqwest::Client, reqwest::Response)>,
    silent_disk: Option<PathBuf>,
}

impl Attack {
    pub(crate) async fn end(mut self) {
        if let Some(file) = self.silent_disk.take() {
            // Whoever waits for it is told that it is empty, or not there.
            let says = std::fs::OpenOptions::new().read(true).write(true).open(&file).unwrap();
            std::fs::remove_file(&file).unwrap();
            drop(says);
        }
        self.tasks.shutdown().await;
    }
}

macro_rules! attacks {
    ($($name:literal => $begin:ident,)*) => {
        /// All attacks, with the name under which each is reported.
        pub(crate) const ATTACKS: &[(&str, fn(Arc<Scene>) -> Begun)] =
            &[$(($name, |scene| Box::pin($begin(scene))),)*];
    };
}

attacks! {
    "none, but both cores are kept busy by something else" => busy_cores,
    "strangers whose bodies do not come, ever more of them" => silent_strangers,
    "4 accounts x 64 GETs that announce a body, again and again" => bodies_where_none_belong,
    "8 accounts x 32 bodies that dribble" => dribbling_bodies,
    "8 accounts, bodies of 4 MiB that do not end" => endless_bodies,
    "2 accounts x 16 readers who take nothing" => readers_who_take_nothing,
    "512 connections whose answers nobody takes" => answers_nobody_takes,
    "512 half-open connections, ever more of them" => half_open_connections,
    "2 accounts x 32 requests for what the disk does not give" => silent_disk,
    "1 account x 32 writers of one part of 1 MiB" => convoy,
    "1 account x 32 comparisons, again and again" => comparisons,
    "1 account x 32 lists, again and again" => lists,
    "1 account x 32 lists of parts, again and again" => part_lists,
    "2 accounts x 16 readers of 12 MB, again and again" => downloads,
    "64 who sign nothing, again and again" => unsigned,
    "64 with unknown keys, again and again" => unknown_keys,
}

/// So many tasks, each of which does the same again and again.
fn again_and_again<F: Future<Output = ()> + Send + 'static>(
    scene: &Arc<Scene>,
    tasks: usize,
    work: impl Fn(Arc<Scene>, usize) -> F + Clone + Send + 'static,
) -> Attack {
    let mut attack = Attack::default();
    for number in 0..tasks {
        let (scene, work) = (Arc::clone(scene), work.clone());
        attack.tasks.spawn(async move {
            loop {
                work(Arc::clone(&scene), number).await;
                tokio::task::yield_now().await;
            }
        });
    }
    attack
}

async fn busy_cores(scene: Arc<Scene>) -> Attack {
    again_and_again(&scene, 2, |scene, _| async move {
        std::hint::black_box(Digest::of(&scene.open_part));
        scene.count();
    })
}

/// A connection over which these bytes were sent; `None` if the server did not take them.
async fn sent(scene: &Scene, bytes: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(scene.server.address()).await.ok()?;
    stream.write_all(bytes).await.ok()?;
    Some(stream)
}

async fn silent_strangers(scene: Arc<Scene>) -> Attack {
    let mut attack = Attack::default();
    attack.tasks.spawn(async move {
        let stranger = scene.organisation.person(50, Role::Patient);
        let body = stranger.enrolment();
        let mut held = VecDeque::new();
        loop {
            let call = Call::new(&stranger.device, Method::POST, path::ACCOUNTS, body.clone());
            let begun = format!("{}\r\n{{\"chain\":", call.head(body.len()));
            held.push_back(sent(&scene, begun.as_bytes()).await);
            if held.len() > 100 {
                held.pop_front();
            }
            scene.count();
        }
    });
    attack
}

async fn bodies_where_none_belong(scene: Arc<Scene>) -> Attack {
    again_and_again(&scene, 4 * 64, |scene, number| async move {
        let call = Call::new(&scene.hostile[number % 4].device, Method::GET, path::RECORDINGS, Vec::new());
        let head = call.head(0).replace("content-length: 0", "transfer-encoding: chunked");
        if let Some(mut stream) = sent(&scene, format!("{head}\r\n").as_bytes()).await {
            let _ = stream.read(&mut [0; 1000]).await;
        }
        scene.count();
    })
}

fn details_head(scene: &Scene, number: usize, length: usize) -> String {
    let person = &scene.hostile[number % scene.hostile.len()];
    let call = Call::new(&person.device, Method::PUT, path::details(&scene.large), Vec::new());
    format!("{}\r\n", call.head(length))
}

async fn dribbling_bodies(scene: Arc<Scene>) -> Attack {
    let mut attack = Attack::default();
    for number in 0..8 * 32 {
        let stream = sent(&scene, details_head(&scene, number, 100_000).as_bytes()).await;
        let (mut stream, scene) = (stream.unwrap(), Arc::clone(&scene));
        attack.tasks.spawn(async move {
            // What was refused is not tried again.
            while stream.write_all(b"x").await.is_ok() {
                scene.count();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    attack
}

async fn endless_bodies(scene: Arc<Scene>) -> Attack {
    let mut attack = Attack::default();
    for number in 0..8 {
        let stream = sent(&scene, details_head(&scene, number, MAX_DETAILS).as_bytes()).await;
        let mut stream = stream.unwrap();
        attack.tasks.spawn(async move {
            let _ = stream.write_all(&vec![b'x'; MAX_DETAILS - 1000]).await;
            std::future::pending::<()>().await;
        });
    }
    attack
}

async fn readers_who_take_nothing(scene: Arc<Scene>) -> Attack {
    let mut attack = Attack::default();
    for number in 0..2 * 16 {
        let place = path::body(&scene.large, 0);
        let call = Call::new(&scene.hostile[number % 2].device, Method::GET, place, Vec::new());
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(scene.server.address()).await.unwrap();
        stream.write_all(format!("{}\r\n", call.head(0)).as_bytes()).await.unwrap();
        let _ = stream.read(&mut [0; 12]).await;
        attack.held.push(stream);
    }
    attack
}

async fn answers_nobody_takes(scene: Arc<Scene>) -> Attack {
    let mut attack = Attack::default();
    let url = format!("{}{}", scene.server.base(), path::HEALTHZ);
    for _ in 0..512 {
        let http = who_takes_nothing();
        if let Ok(answer) = http.get(&url).send().await {
            attack.answers.push((http, answer));
        }
    }
    attack
}

async fn half_open_connections(scene: Arc<Scene>) -> Attack {
    let mut attack = Attack::default();
    attack.tasks.spawn(async move {
        let mut held = VecDeque::new();
        loop {
            held.push_back(sent(&scene, b"GET /healthz HTTP/1.1\r\nhost: vault.test\r\nx-slow: ").await);
            if held.len() > 512 {
                held.pop_front();
            }
            scene.count();
        }
    });
    attack
}

async fn silent_disk(scene: Arc<Scene>) -> Attack {
    let file = scene.details_of_small();
    let _ = std::fs::remove_file(&file);
    let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &file, fifo, mode, 0).unwrap();
    let mut attack = Attack { silent_disk: Some(file), ..Attack::default() };
    for number in 0..2 * 32 {
        let person = &scene.hostile[2 + number % 2];
        let call = Call::new(&person.device, Method::GET, path::details(&scene.small), Vec::new());
        attack.held.extend(sent(&scene, format!("{}\r\n", call.head(0)).as_bytes()).await);
    }
    attack
}

async fn convoy(scene: Arc<Scene>) -> Attack {
    again_and_again(&scene, 32, |scene, _| async move {
        let (device, place) = (&scene.hostile[1].device, path::part(&scene.open, 0, 0));
        scene.ask(Call::new(device, Method::PUT, place, scene.open_part.clone()), true).await;
    })
}

async fn comparisons(scene: Arc<Scene>) -> Attack {
    again_and_again(&scene, 32, |scene, number| async move {
        let other = scene.hostile[1 + number % 7].account();
        // Now this, now that: each time something is stored.
        let call = Call::new(&scene.hostile[0].device, Method::PUT, path::commitment(&other), Vec::new());
        let body = [call.nonce, call.nonce].concat();
        scene.ask(Call { body, ..call }, true).await;
    })
}

async fn lists(scene: Arc<Scene>) -> Attack {
    again_and_again(&scene, 32, |scene, _| async move {
        let device = &scene.hostile[0].device;
        scene.ask(Call::new(device, Method::GET, path::RECORDINGS, Vec::new()), true).await;
    })
}

async fn part_lists(scene: Arc<Scene>) -> Attack {
    again_and_again(&scene, 32, |scene, _| async move {
        let (device, place) = (&scene.hostile[0].device, path::parts(&scene.large, 0));
        scene.ask(Call::new(device, Method::GET, place, Vec::new()), true).await;
    })
}

async fn downloads(scene: Arc<Scene>) -> Attack {
    again_and_again(&scene, 2 * 16, |scene, number| async move {
        let (device, place) = (&scene.hostile[number % 2].device, path::body(&scene.large, 0));
        scene.ask(Call::new(device, Method::GET, place, Vec::new()), true).await;
    })
}

async fn unsigned(scene: Arc<Scene>) -> Attack {
    again_and_again(&scene, 64, |scene, _| async move {
        let device = &scene.hostile[0].device;
        scene.ask(Call::new(device, Method::GET, path::RECORDINGS, Vec::new()), false).await;
    })
}

async fn unknown_keys(scene: Arc<Scene>) -> Attack {
    let stranger = Arc::new(scene.organisation.person(60, Role::Patient));
    again_and_again(&scene, 64, move |scene, _| {
        let stranger = Arc::clone(&stranger);
        async move {
            let call = Call::new(&stranger.device, Method::GET, path::RECORDINGS, Vec::new());
            scene.ask(call, true).await;
        }
    })
}
