//! Rows inside `relay`, `net` and `hub`: a file imports from rows below its own in its folder, so
//! that the folder can be read row by row. A folder within counts as one, but for files of it that
//! have a row of their own; inside it only circles are forbidden.

use std::collections::BTreeSet;

use crate::paths::{module, named};
use crate::sources::{Source, sources};

/// Folder, and its files and folders, lowest row first; `mod` is its `mod.rs`.
const ROWS: &[(&str, &[&[&str]])] = &[
    (
        "relay",
        &[
            &[
                "cause",
                "client/why",
                "inspector",
                "conn_key",
                "exchange_key",
                "exhibit",
                "names",
                "render/lines",
                "request/host",
                "status_name",
                "uploads",
            ],
            &["location/spelling", "render/payload", "request/identity", "unsent"],
            &["holders", "location/pattern", "revocations"],
            &["options"],
            &["location", "notice", "timers"],
            &["input", "presence", "recorder"],
            &["output", "site"],
            &["effects", "request"],
            &["advice", "render"],
            &["step"],
            &["client"],
            &["conn"],
            &["proxy", "store_links"],
            &["eviction", "forwarding"],
            &["state"],
            &["dispatch"],
            &["mod"],
        ],
    ),
    (
        "net",
        &[
            &[
                "descriptors",
                "health",
                "pace",
                "process",
                "service_manager",
                "signals",
                "stdin",
                "stream",
            ],
            &["tls"],
            &["options", "transport"],
            &["listen/port_owner", "tokens", "watchdog", "worker"],
            &["error", "socket"],
            &["handshakes", "left_over", "listen", "table"],
            &["sockets"],
            &["traffic"],
            &["acceptor", "memory_return", "reload"],
            &["shutdown"],
            &["mod"],
        ],
    ),
    (
        "hub",
        &[
            &["options", "sent", "subscription"],
            &["api", "waiters"],
            &["holding", "pending", "stream"],
            &["asking", "feed"],
            &["fanout", "feeds"],
            &["streams"],
            &["holds"],
            &["placing"],
            &["replies"],
            &["mod"],
        ],
    ),
];

fn is_in(source: &Source, folder: &str) -> bool {
    source.module == folder && !source.path.ends_with("/tests.rs")
}

#[test]
fn a_file_imports_from_the_rows_below_its_own_in_its_folder() {
    let sources = sources();
    let all: BTreeSet<_> = sources.iter().map(|source| module(&source.path)).collect();
    let mut wrong = Vec::new();
    for (folder, rows) in ROWS {
        let entry_of = |module: &[String]| {
            let name = module.get(1).map_or("mod", String::as_str);
            let file = module.get(1..3).map(|parts| parts.join("/")).unwrap_or_default();
            let find = |name: &str| rows.iter().position(|row| row.contains(&name));
            find(&file).map(|row| (row, file)).or_else(|| Some((find(name)?, name.to_owned())))
        };
        for source in sources.iter().filter(|source| is_in(source, folder)) {
            let own = module(&source.path);
            let Some(entry) = entry_of(&own) else {
                wrong.push(format!("{} stands in no row", source.path));
                continue;
            };
            for named in named(&source.code, &own, &all) {
                let is_inside = named.first().is_some_and(|first| first == folder);
                let other = entry_of(&named).filter(|other| is_inside && *other != entry);
                if other.is_some_and(|(row, _)| row >= entry.0) {
                    wrong.push(format!("{} imports {}", source.path, named.join("::")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
