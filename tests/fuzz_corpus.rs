//! The kept inputs of the fuzzer, through the very functions that it calls: what was found once
//! stays found. And each of them with a few errors by chance, which is fuzzing for who has no
//! fuzzer: `docs/testing.md` tells how to do it properly.

use std::fs;
use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;
use pushserver_testkit::rounds::{
    chunked_body, config, cursor, frames, relay, request_head, resp, shared, token,
};

type Round = fn(&[u8]);

const ROUNDS: &[(&str, Round)] = &[
    ("request_head", request_head::round),
    ("chunked_body", chunked_body::round),
    ("cursor", cursor::round),
    ("frames", frames::round),
    ("resp", resp::round),
    ("token", token::round),
    ("config", config::round),
    ("relay", relay::round),
    ("shared", shared::round),
    #[cfg(feature = "tls")]
    ("tls", pushserver::net::talk::play),
];

#[test]
fn every_kept_input_keeps_the_properties() {
    for &(target, round) in ROUNDS {
        for (path, input) in kept(target) {
            if let Err(cause) = catch_unwind(|| round(&input)) {
                println!("{target} fails with {}", path.display());
                resume_unwind(cause);
            }
        }
    }
}

#[test]
fn a_kept_input_with_a_few_errors_keeps_them_too() {
    for &(target, round) in ROUNDS {
        let inputs = kept(target);
        let (index, byte) = (any::<Index>, any::<u8>);
        let errors = prop::collection::vec((index(), 0..4_u8, byte(), index()), 1..5);
        let mut runner = TestRunner::new(ProptestConfig {
            // A failing input goes to the corpus instead.
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let outcome = runner.run(&(index(), errors), |(which, errors)| {
            let mut input = which.get(&inputs).1.clone();
            for (at, kind, byte, other) in errors {
                mangle(&mut input, at, kind, byte, &other.get(&inputs).1);
            }
            let is_sound = catch_unwind(|| round(&input)).is_ok();
            prop_assert!(is_sound, "{target} fails with b\"{}\"", input.escape_ascii());
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// The kept inputs of a target, each with its file.
fn kept(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut kept: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.clone(), fs::read(path).expect("a readable file")))
        .collect();
    kept.sort();
    assert!(kept.len() >= 20, "only {} inputs in {}", kept.len(), folder.display());
    kept
}

fn mangle(input: &mut Vec<u8>, at: Index, kind: u8, byte: u8, other: &[u8]) {
    let at = at.index(input.len() + 1);
    match kind {
        0 => input.insert(at, byte),
        1 if at < input.len() => input[at] = byte,
        2 => drop(input.drain(at..input.len().min(at + usize::from(byte % 9)))),
        // From here on it is another one.
        _ => {
            input.truncate(at);
            input.extend_from_slice(&other[at.min(other.len())..]);
        }
    }
}
