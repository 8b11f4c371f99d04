//! The table of docs/protocol.md names every transcript that says something of Nchan, and no other.

use std::collections::BTreeSet;
use std::path::Path;

use pushserver_testkit::transcripts::corpus::transcripts;

#[test]
fn the_table_of_the_protocol_document_names_what_differs_and_no_more() {
    if std::env::var_os("TRANSCRIPT").is_some() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    let text = std::fs::read_to_string(path).expect("docs/protocol.md can be read");
    let (_, section) = text.split_once("## Where Nchan differs").expect("the section is there");
    let rows = section.lines().filter(|line| line.starts_with('|'));
    let named: BTreeSet<String> = rows
        .filter_map(|row| row.trim_end_matches('|').rsplit('|').next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter_map(|quoted| quoted.strip_suffix(".http"))
        .map(str::to_owned)
        .collect();
    let all = transcripts();
    let says = all.iter().filter(|transcript| transcript.nchan.is_some());
    let says: BTreeSet<String> = says.map(|transcript| transcript.name.clone()).collect();
    let missing: Vec<_> = says.difference(&named).collect();
    let dead: Vec<_> = named.difference(&says).collect();
    assert!(missing.is_empty(), "`# nchan:`, but not in the table: {missing:?}");
    assert!(dead.is_empty(), "in the table, but without `# nchan:`: {dead:?}");
}
