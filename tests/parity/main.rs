//! Development is as production: the transcripts of `tests/transcripts` run on nginx with Nchan,
//! under the configuration that `pushserver --nginx-config` makes of their settings.
//!
//! Where Nchan answers otherwise, a transcript says so (`# nchan: differs: how`), docs/protocol.md
//! has it in its table, and `differences.txt` has each line. What differs otherwise fails, and so
//! does what no longer differs. `UPDATE_PARITY=1 cargo test --test parity` writes
//! `differences.txt`; what then changed is for `git diff` and your judgement.
//!
//! Needs nginx and its module: `apt-get install nginx libnginx-mod-nchan`.

mod configurations;
mod locations;
mod nginx;
mod redis;

mod streams;
mod stub_status;
mod table;
mod tokens;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nginx::Nginx;
use pushserver_testkit::transcripts::corpus::{caught, in_one_second, transcripts};
use pushserver_testkit::transcripts::run;
use pushserver_testkit::transcripts::targets::{OverTcp, complete};
use pushserver_testkit::transcripts::transcript::{Nchan, Only, Transcript};

/// The daemon under test.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");

/// Runs of one transcript, while it crosses into another second than it began in: ids and ages in
/// transcripts are those of one second.
const ROUNDS: usize = 6;

/// For each transcript that differs, the lines that do.
type Differences = BTreeMap<String, Vec<String>>;

#[test]
fn nginx_differs_where_the_table_says_so_and_nowhere_else() {
    let all = transcripts();
    let runs = |transcript: &&Transcript| {
        transcript.only != Some(Only::World) && transcript.nchan != Some(Nchan::KeptAway)
    };
    let mut pending: Vec<&Transcript> = all.iter().filter(runs).collect();
    let known = known();
    let mut found = Differences::new();
    for round in 1..=ROUNDS {
        let start = |transcript: &Transcript| Nginx::start(complete(&transcript.settings));
        let outcomes = in_one_second(std::mem::take(&mut pending), start, differences);
        for (transcript, differences, is_one_second) in outcomes {
            let name = &transcript.name;
            let as_known = known.get(name).map_or(&[][..], Vec::as_slice) == differences;
            if !as_known && !is_one_second && round < ROUNDS {
                pending.push(transcript);
            } else if !differences.is_empty() {
                found.insert(name.clone(), differences);
            }
        }
        if pending.is_empty() {
            break;
        }
    }
    if std::env::var_os("UPDATE_PARITY").is_some_and(|value| value == "1") {
        assert!(std::env::var_os("TRANSCRIPT").is_none(), "it is written whole, so run all");
        std::fs::write(path(), write(&found)).expect("it can be written");
        return;
    }
    let ran: Vec<&str> = all.iter().filter(runs).map(|one| one.name.as_str()).collect();
    let mut known = known;
    known.retain(|name, _| ran.contains(&name.as_str()) || std::env::var("TRANSCRIPT").is_err());
    let (found, known) = (write(&found), write(&known));
    assert!(
        found == known,
        "nginx differs otherwise than tests/parity/differences.txt says; now it is\n{found}"
    );
    for transcript in all.iter().filter(runs) {
        let is_known = known.contains(&format!("\n{}\n", transcript.name));
        let says = transcript.nchan == Some(Nchan::Differs);
        assert_eq!(says, is_known, "{}.http: `# nchan: differs: how`", transcript.name);
    }
}

/// What differs on an nginx.
fn differences(transcript: &Transcript, target: &mut OverTcp<Nginx>) -> Vec<String> {
    let differences = caught(transcript, || Ok(run::differences(transcript, target, comparable)));
    let mut differences = differences.unwrap_or_else(|what| vec![what]);
    if target.log().contains("exited on signal") {
        differences.push("the worker process has died: keep this away".to_owned());
    }
    differences
}

/// Of an answer in a transcript, what production must have, too: the status; the headers that a
/// client acts on; a message or channel information. Not the words of errors. Of an event stream
/// its events, not comments; of a WebSocket its frames, without the reason of a Close.
fn comparable(answer: &[String]) -> Vec<String> {
    const HEADERS: [&str; 9] = [
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-origin",
        "access-control-max-age",
        "content-type",
        "etag",
        "last-modified",
        "www-authenticate",
        "x-push-gap",
    ];
    let mut words = answer[0].split(' ').skip(1);
    let status = words.next().unwrap_or_default();
    let code = words.next().filter(|_| status == "close").unwrap_or_default();
    let status = format!("{status} {code}").trim_end().to_owned();
    let is_error = status.starts_with('4') || status.starts_with('5');
    let mut lines = vec![status.clone()];
    for line in &answer[1..] {
        let line = line.trim_start();
        let name = line.split(": ").next().unwrap_or_default().to_ascii_lowercase();
        let is_compared = match line.strip_prefix('|') {
            Some(text) if status == "block" => {
                !text.starts_with(" :") && !text.starts_with(" retry")
            }
            Some(_) => !is_error,
            // Where every origin may subscribe, ours says so to a request without one, too.
            None if line == "Access-Control-Allow-Origin: *" => false,
            None if name == "content-type" => !is_error,
            None => HEADERS.contains(&name.as_str()),
        };
        if is_compared {
            lines.push(line.to_owned());
        }
    }
    lines[1..].sort_by_key(|line| line.starts_with('|'));
    lines
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/differences.txt")
}

fn known() -> Differences {
    let mut known = Differences::new();
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix("    ") {
            None => drop(known.insert(line.to_owned(), Vec::new())),
            Some(difference) => {
                let mut last = known.last_entry().expect("a transcript comes first");
                last.get_mut().push(difference.to_owned());
            }
        }
    }
    known
}

fn write(differences: &Differences) -> String {
    let mut text =
        "# Where nginx with Nchan answers otherwise than the transcripts: by line. Written by\n# UPDATE_PARITY=1 cargo test --test parity; why they \
                    differ is in docs/protocol.md.\n"
            .to_owned();
    for (name, lines) in differences {
        text.push_str(&format!("{name}\n"));
        lines.iter().for_each(|line| text.push_str(&format!("    {line}\n")));
    }
    text
}
