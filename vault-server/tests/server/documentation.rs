//! docs/PROTOCOL.md against the code: its tables are those that the server has.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use vault_proto::problem::ProblemCode;

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
