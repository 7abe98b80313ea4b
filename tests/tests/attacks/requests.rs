//! Rows 3 and 21: what the client's traffic tells, and what a request is worth to somebody else.

use http::{Method, StatusCode};
use vault_proto::envelope::Envelope;
use vault_proto::http_signature::{
    CONTENT_DIGEST, Nonce, RequestTarget, SIGNATURE, SIGNATURE_INPUT, SignatureInput, content_digest_value,
    signature_value,
};
use vault_proto::ids::{Digest, KeyId, PublicKey};
use vault_proto::labels;
use vault_proto::statements::Manifest;
use vault_tests::attack::{Attack, report};
use vault_tests::hostile::{ForgedKey, Objects, Seen, forge_header};
use vault_tests::scene::Scene;
use vault_tests::sealing_device::Device;

fn sorted(mut traffic: Vec<Seen>) -> Vec<Seen> {
    traffic.sort();
    traffic
}

#[test]
fn row_03_decryption_as_an_oracle() {
    let scene = Scene::new();
    let attack = Attack::new(&scene, "row_03_decryption_as_an_oracle");
    let server = scene.server();
    let id = scene.id("x1");
    // At first sight its sealer is looked up, whatever becomes of it.
    assert_eq!(attack.run("xenia", &["open", id], true).said.exit, Some(0));
    server.take_traffic();
    assert_eq!(attack.run("xenia", &["open", id], true).said.exit, Some(0));
    let success = sorted(server.take_traffic());
    assert!(success.iter().all(|seen| seen.method == "GET" && seen.body == 0), "{success:?}");
    let truth = scene.objects("x1");
    let manifest = Envelope::<Manifest>::parse(truth.manifest.as_bytes()).unwrap();
    let context = labels::context(&manifest.digest(), 0, 0);
    let known = ForgedKey([3; 16]);
    // The recording's recipient, which a reader told the operator.
    let key = truth.opened_key(&scene.device("xaver").account.identity).unwrap();
    let recipient = key.recipient().to_string();
    let header = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut objects = truth.clone();
        change(&mut objects.segments[0].header);
        objects
    };
    let lines: Vec<usize> =
        truth.segments[0].header.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at).collect();
    let flip = |at: usize| {
        header(&move |bytes: &mut Vec<u8>| bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' })
    };
    let body_flipped = {
        let mut objects = truth.clone();
        objects.segments[0].body[20] ^= 1;
        objects
    };
    let list_flipped = {
        let mut objects = truth.clone();
        objects.segments[0].parts[0] ^= 1;
        objects
    };
    // Each fails at another step behind the secret key.
    let failures: [(&str, Objects, i32); 7] = [
        ("the stanza's share is another", flip(lines[3] - 8), 11),
        ("the stanza's body does not open", flip(lines[4] - 8), 11),
        ("the header MAC does not fit", flip(lines[lines.len() - 1] - 8), 11),
        (
            "a key that the operator knows",
            header(&|bytes| *bytes = forge_header(Some(&context), vec![known.wrap(&recipient)], known)),
            14,
        ),
        (
            "another context",
            header(&|bytes| {
                *bytes = forge_header(Some(&Digest::of(b"")), vec![known.wrap(&recipient)], known)
            }),
            13,
        ),
        ("the part list is another", list_flipped, 11),
        ("the body does not open", body_flipped, 11),
    ];
    for (injected, objects, exit) in failures {
        server.stand_in(id, objects, None);
        server.take_traffic();
        let outcome = attack.run("xenia", &["open", id], true);
        assert_eq!(sorted(server.take_traffic()), success, "{injected}: the server can tell");
        assert_eq!(outcome.said.exit, Some(exit), "{injected}: {}", outcome.said.stderr);
        assert_eq!(outcome.released(), 0, "{injected}");
        attack.report(injected, &outcome);
    }
}

pub(crate) struct Raw<'a> {
    device: &'a Device,
    url: String,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

pub(crate) struct Signed {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl<'a> Raw<'a> {
    pub(crate) fn new(device: &'a Device, url: String) -> Self {
        Self {
            device,
            url,
            runtime: tokio::runtime::Runtime::new().unwrap(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) fn sign(&self, method: Method, path: &str, body: &[u8], skew: i64, nonce: u8) -> Signed {
        let authority = self.url.trim_start_matches("http://");
        self.sign_for(authority, method, path, body, skew, nonce)
    }

    fn sign_for(
        &self,
        authority: &str,
        method: Method,
        path: &str,
        body: &[u8],
        skew: i64,
        nonce: u8,
    ) -> Signed {
        let key = self.device.account.device;
        let created = vault_client::clock::now().unwrap().unix_seconds() + skew;
        let (nonce, key_id) = (Nonce::from_bytes([nonce; 16]), KeyId::of_device(&key));
        let input = SignatureInput { created, nonce, key_id, covered: None };
        let content_digest = Digest::of(body);
        let (bare, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let method_name = method.as_str();
        let target = RequestTarget {
            method: method_name,
            authority,
            path: bare,
            query,
            content_digest,
            covered: None,
        };
        let signature = self.device.key.sign(&target.signature_base(&input));
        Signed {
            method,
            path: path.to_owned(),
            headers: vec![
                (CONTENT_DIGEST, content_digest_value(&content_digest)),
                (SIGNATURE_INPUT, input.to_string()),
                (SIGNATURE, signature_value(&signature)),
            ],
            body: body.to_vec(),
        }
    }

    /// Sends what was signed, and says with which code it was refused.
    pub(crate) fn send(&self, signed: &Signed) -> (StatusCode, String) {
        let url = format!("{}{}", self.url, signed.path);
        let mut request = self.client.request(signed.method.clone(), url).body(signed.body.clone());
        for (name, value) in &signed.headers {
            request = request.header(*name, value);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            let (status, body) = (answer.status(), answer.bytes().await.unwrap());
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            (status, problem["code"].as_str().unwrap_or_default().to_owned())
        })
    }
}

#[test]
fn row_21_request_replayed_altered_or_stolen() {
    const NAME: &str = "row_21_request_replayed_altered_or_stolen";
    let scene = Scene::new();
    let device = scene.device("anna");
    let raw = Raw::new(&device, scene.server().url());
    let refused = |injected: &str, signed: &Signed, code: &str| {
        let (status, said) = raw.send(signed);
        assert_eq!(said, code, "{injected}: {status}");
        report(NAME, injected, &format!("{status}: {said}"), None, 0);
    };
    let record = format!("/v1/recordings/{}", scene.id("o1"));
    let good = raw.sign(Method::GET, &record, b"", 0, 1);
    assert_eq!(raw.send(&good).0, StatusCode::OK);
    refused("the same request again", &good, "signature-replayed");
    let altered = |change: &dyn Fn(&mut Signed), nonce: u8| {
        let mut signed = raw.sign(Method::GET, &record, b"", 0, nonce);
        change(&mut signed);
        signed
    };
    let other = format!("/v1/recordings/{}", scene.id("a1"));
    refused("another path", &altered(&|signed| signed.path.clone_from(&other), 2), "signature-invalid");
    refused("a query added", &altered(&|signed| signed.path.push_str("?a=b"), 3), "signature-invalid");
    refused("another method", &altered(&|signed| signed.method = Method::PUT, 4), "method-not-allowed");
    refused(
        "the nonce changed",
        &altered(&|signed| signed.headers[1].1 = signed.headers[1].1.replacen("BQUF", "BQUG", 1), 5),
        "signature-invalid",
    );
    refused(
        "the time changed",
        &altered(
            &|signed| signed.headers[1].1 = signed.headers[1].1.replacen("created=1", "created=2", 1),
            6,
        ),
        "signature-stale",
    );
    refused("no signature", &altered(&|signed| drop(signed.headers.pop()), 7), "signature-missing");
    refused(
        "signed for another server",
        &raw.sign_for("vault.example", Method::GET, &record, b"", 0, 8),
        "signature-invalid",
    );
    for (skew, nonce) in [(-121, 9), (125, 10), (-86_400, 11)] {
        refused(
            &format!("a clock off by {skew} s"),
            &raw.sign(Method::GET, &record, b"", skew, nonce),
            "signature-stale",
        );
    }
    for (skew, nonce) in [(-110, 12), (110, 13)] {
        assert_eq!(
            raw.send(&raw.sign(Method::GET, &record, b"", skew, nonce)).0,
            StatusCode::OK,
            "{skew} s are allowed"
        );
    }
    let mut body = raw.sign(Method::POST, "/v1/recordings", b"{}", 0, 14);
    body.body = b"[]".to_vec();
    refused("another body", &body, "digest-mismatch");
    let key = vault_core::signing_key::SigningKey::generate().unwrap();
    let stranger = Device {
        account: vault_engine::home::account::Account {
            id: device.account.id,
            device: PublicKey::from_bytes(key.public()),
            identity: vault_core::identity::Identity::generate(vault_proto::statements::Suite::X25519)
                .unwrap()
                .into(),
        },
        key,
        member: device.member.clone(),
        home: device.home.clone(),
    };
    let raw = Raw {
        device: &stranger,
        runtime: tokio::runtime::Runtime::new().unwrap(),
        client: raw.client.clone(),
        url: raw.url.clone(),
    };
    let (status, said) = raw.send(&raw.sign(Method::GET, &record, b"", 0, 15));
    assert_eq!(said, "unknown-key", "{status}");
    report(NAME, "a key that no account lists", &format!("{status}: {said}"), None, 0);
}
