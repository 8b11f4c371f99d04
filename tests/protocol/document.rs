//! `docs/protocol.md` names every transcript, and every one that it names is there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::transcripts;

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
    let all = transcripts();
    let there: BTreeSet<&str> = all.iter().map(|transcript| transcript.name.as_str()).collect();
    let missing: Vec<_> = there.difference(&named).collect();
    let dead: Vec<_> = named.difference(&there).collect();
    assert!(missing.is_empty(), "not named in docs/protocol.md: {missing:?}");
    assert!(dead.is_empty(), "named in docs/protocol.md, but not there: {dead:?}");
}
