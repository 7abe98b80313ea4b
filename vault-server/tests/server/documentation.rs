//! docs/PROTOCOL.md against the code: its tables are those that the server has.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use vault_proto::envelope::MAX_ENVELOPE;
use vault_proto::geometry::MAX_PART;
use vault_proto::key_object::MAX_KEY_OBJECT;
use vault_proto::problem::ProblemCode;
use vault_proto::sealed_header::MAX_SEALED_HEADER;
use vault_proto::wire;

use crate::support::{Organisation, Server};

const DOCUMENT: &str = include_str!("../../../docs/PROTOCOL.md");

/// The methods that the document has for each path, `{…}` in it being numbers.
fn documented_routes() -> BTreeMap<String, BTreeSet<String>> {
    let (_, section) = DOCUMENT.split_once("| request | body | answer |").unwrap();
    let rows = section.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut routes = BTreeMap::<_, BTreeSet<_>>::new();
    for row in rows {
        let (method, path) = row.split('`').nth(1).unwrap().split_once(' ').unwrap();
        let path = path.split('?').next().unwrap();
        routes.entry(path.to_owned()).or_default().insert(method.to_owned());
    }
    routes
}

/// A path of the table with something in its places.
fn filled(path: &str) -> String {
    let account = "0".repeat(64);
    let places = [("{account}", account.as_str()), ("{id}", &account[..32])];
    let path = places.iter().fold(path.to_owned(), |path, (place, value)| path.replace(place, value));
    ["{g}", "{i}", "{k}"].iter().fold(path, |path, place| path.replace(place, "0"))
}

#[tokio::test]
async fn the_routes_are_the_documented_ones() {
    let server = Server::start(&Organisation::new(1)).await;
    let routes = documented_routes();
    for (path, methods) in &routes {
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let answer = server.send(method.parse::<Method>().unwrap(), &filled(path), &[], Vec::new()).await;
            let open = ["/healthz", "/readyz", "/v1/server"].contains(&path.as_str());
            let expected = match (methods.contains(method), open) {
                (true, true) => StatusCode::OK,
                (true, false) => StatusCode::UNAUTHORIZED,
                (false, _) => StatusCode::METHOD_NOT_ALLOWED,
            };
            assert_eq!(answer.status, expected.as_u16(), "{method} {path}");
        }
    }
    // A route that the document lacks would be one more.
    let coded = include_str!("../../src/router.rs").matches(".route(").count();
    assert_eq!(routes.len(), coded);
}

/// The table in PROTOCOL.md, section 5, is the table in the code.
#[test]
fn the_problem_table_is_the_documented_one() {
    let (_, section) = DOCUMENT.split_once("## 5. Problems").unwrap();
    let documented: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| code |"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let coded: Vec<Vec<String>> = ProblemCode::ALL
        .iter()
        .map(|code| vec![code.code().to_owned(), code.status().to_string(), code.title().to_owned()])
        .collect();
    assert_eq!(documented, coded);
}

/// The table of limits in PROTOCOL.md, section 4, has the numbers that the code has.
#[test]
fn the_limits_are_the_documented_ones() {
    let (_, section) = DOCUMENT.split_once("| limit | at most |").unwrap();
    let documented: Vec<(&str, u64)> = section
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let (limit, number) = line.trim_matches('|').split_once('|').unwrap();
            let digits: String = number.chars().filter(char::is_ascii_digit).collect();
            (limit.trim(), digits.parse().unwrap())
        })
        .collect();
    let coded = [
        ("JSON", wire::MAX_JSON_BODY as u64),
        ("JSON of `POST /v1/accounts` and `PUT …/certificate`", wire::MAX_ENROLMENT as u64),
        ("part", MAX_PART as u64),
        ("header", MAX_SEALED_HEADER as u64),
        ("key object", MAX_KEY_OBJECT as u64),
        ("details object", wire::MAX_DETAILS as u64),
        ("envelope", MAX_ENVELOPE as u64),
        ("envelope of a seal or final seal", wire::MAX_SEAL as u64),
        ("statements with a manifest", wire::MAX_SENT_STATEMENTS as u64),
        ("statements asked for at a time", wire::MAX_ASKED_STATEMENTS as u64),
        ("key lists of an account", wire::MAX_KEY_LISTS as u64),
        ("key lists of an account together", wire::MAX_KEY_LIST_BYTES as u64),
        ("recordings of a page; 100 without a `limit`", u64::from(wire::MAX_PAGE)),
        ("accounts named for a prefix", u64::from(wire::MAX_MATCHES)),
        ("parts above the first one that is missing", u64::from(wire::MAX_PARTS_AHEAD)),
        ("recordings of a sealer without a part", u64::from(wire::MAX_EMPTY_RECORDINGS)),
        ("comparisons of an account", u64::from(wire::MAX_COMPARISONS)),
    ];
    assert_eq!(documented, coded);
    assert_eq!(wire::DEFAULT_PAGE, 100);
}
