use vault_proto::problem::ProblemCode;

/// The table in PROTOCOL.md, section 5, is the table in the code.
#[test]
fn the_problem_table_is_the_documented_one() {
    let document = include_str!("../../../docs/PROTOCOL.md");
    let (_, section) = document.split_once("## 5. Problems").unwrap();
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
