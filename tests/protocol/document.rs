//! `docs/protocol.md` names every transcript, and every one that it names is there.

use std::collections::BTreeSet;
use std::path::Path;

use pushserver_testkit::transcripts::corpus::directory;

#[test]
fn the_protocol_document_names_every_transcript_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    let text = std::fs::read_to_string(path).expect("docs/protocol.md can be read");
    let named: BTreeSet<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|quoted| quoted.strip_suffix(".http"))
        .collect();
    let files = std::fs::read_dir(directory()).expect("the directory is there");
    let files = files.map(|entry| entry.expect("it can be read").file_name());
    let files: Vec<_> = files.filter_map(|name| name.into_string().ok()).collect();
    let there: BTreeSet<&str> =
        files.iter().filter_map(|name| name.strip_suffix(".http")).collect();
    let missing: Vec<_> = there.difference(&named).collect();
    let dead: Vec<_> = named.difference(&there).collect();
    assert!(missing.is_empty(), "not named in docs/protocol.md: {missing:?}");
    assert!(dead.is_empty(), "named in docs/protocol.md, but not there: {dead:?}");
}
