//! Rows of modules: who may import whom.

use crate::sources::{name, sources};

/// Rows of modules, lowest first. A module imports from rows below its own, never from its row.
const ROWS: [&[&str]; 8] = [
    &[
        "arena",
        "clock",
        "figures",
        "log_targets",
        "jitter",
        "message",
        "nearest",
        "parts",
        "rate_limit",
        "secret",
        "wheel",
    ],
    &["http", "store"],
    &["hub"],
    &["relay"],
    &["net"],
    &["config", "logging", "pid_file"],
    &["cli"],
    &["main"],
];

/// From this row on there are sockets, threads and files.
pub(crate) const ROW_OF_IO: usize = 4;

#[test]
fn modules_import_from_the_rows_below_their_own() {
    let mut wrong = Vec::new();
    for source in sources() {
        let row = row_of(&source.module);
        for import in imports(&source.code) {
            let is_own = import == source.module;
            if !is_own && row_of(&import) >= row {
                wrong.push(format!("{} imports {import}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_rows_name_every_module() {
    for source in sources() {
        assert!(ROWS.iter().any(|row| row.contains(&&*source.module)), "{}", source.path);
    }
}

/// First parts of all `crate::` paths, in `use` lines or not.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in code.match_indices("crate::").chain(code.match_indices("pushserver::")) {
        let path = &code[at + word.len()..];
        match path.strip_prefix('{') {
            None => found.push(name(path)),
            Some(group) => {
                let mut depth = 0;
                let mut begin = true;
                for (index, char) in group.char_indices() {
                    match char {
                        '}' if depth == 0 => break,
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => begin = true,
                        char if begin && char.is_alphabetic() => {
                            found.push(name(&group[index..]));
                            begin = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    // A macro, a constant or a function of the root is no module.
    found.retain(|name| ROWS.iter().any(|row| row.contains(&&**name)));
    found
}

pub(crate) fn row_of(module: &str) -> usize {
    ROWS.iter().position(|row| row.contains(&module)).unwrap_or(usize::MAX)
}
