//! The transcripts of `tests/transcripts`: each shows a rule of the protocol, and each runs on the
//! relay alone, with its bytes in one piece and in many, and on the daemon over TCP. What no
//! transcript can show of WebSockets is in `closes`.
//!
//! `UPDATE_TRANSCRIPTS=1 cargo test --test protocol` writes the answers that come into the files;
//! what then changed is for `git diff` and your judgement.

mod channel_list;
mod closes;
mod document;
mod redis;
mod token_ends;

use std::process::Stdio;

use pushserver_testkit::transcripts::corpus::{caught, directory, in_one_second, transcripts};
use pushserver_testkit::transcripts::in_world::{InWorld, Split};
use pushserver_testkit::transcripts::run;
use pushserver_testkit::transcripts::targets::{self, OverTcp};
use pushserver_testkit::transcripts::transcript::{Only, Transcript};
use pushserver_testkit::{Daemon, Start};
use serde_json::Value;

/// The daemon under test.
const BINARY: &str = env!("CARGO_BIN_EXE_pushserver");

fn is_update() -> bool {
    std::env::var_os("UPDATE_TRANSCRIPTS").is_some_and(|value| value == "1")
}

#[track_caller]
fn none_failed(failures: &[String], of: usize) {
    let (failed, text) = (failures.len(), failures.join("\n\n"));
    assert!(failures.is_empty(), "\n{text}\n\n{failed} of {of} transcripts differ");
}

/// Runs all in worlds, or all that may.
fn in_worlds(split: Split) {
    in_all(split, InWorld::new);
}

fn in_all(split: Split, world: fn(&Value, Split) -> Result<InWorld, String>) {
    let all = transcripts();
    let mut failures = Vec::new();
    for transcript in all.iter().filter(|transcript| transcript.only != Some(Only::Tcp)) {
        let split = if transcript.whole { Split::Whole } else { split };
        let outcome =
            caught(transcript, || run::check(transcript, &mut world(&transcript.settings, split)?));
        failures.extend(outcome.err());
    }
    none_failed(&failures, all.len());
}

#[test]
fn every_transcript_holds_on_the_relay() {
    if !is_update() {
        return in_worlds(Split::Whole);
    }
    let mut failures = Vec::new();
    let all = transcripts();
    for transcript in all.iter().filter(|transcript| transcript.only != Some(Only::Tcp)) {
        let steps = caught(transcript, || {
            let world = InWorld::new(&transcript.settings, Split::Whole);
            run::update(transcript, &mut world?)
        });
        match steps {
            Ok(steps) => {
                let path = directory().join(format!("{}.http", transcript.name));
                std::fs::write(path, transcript.write(&steps)).unwrap();
            }
            Err(error) => failures.push(error),
        }
    }
    none_failed(&failures, all.len());
}

#[test]
fn every_transcript_holds_where_stores_write_down_what_they_keep() {
    if !is_update() {
        in_all(Split::Whole, InWorld::durable);
        in_all(Split::Bytes, InWorld::durable);
    }
}

#[test]
fn every_transcript_holds_when_its_bytes_come_one_by_one() {
    if !is_update() {
        in_worlds(Split::Bytes);
    }
}

#[test]
fn every_transcript_holds_when_its_bytes_come_in_random_pieces() {
    if !is_update() {
        for seed in 1..=8 {
            in_worlds(Split::Random(seed));
        }
    }
}

/// Rounds over TCP. A run that fails in another second than it began in says nothing, because
/// ids and ages in transcripts are those of one second; it is repeated in the next round.
const ROUNDS: usize = 20;

#[test]
fn every_transcript_holds_over_tcp() {
    if is_update() {
        return;
    }
    let all = transcripts();
    let mut pending: Vec<_> =
        all.iter().filter(|transcript| transcript.only != Some(Only::World)).collect();
    let mut failures = Vec::new();
    // Killed, this test closes their standard input.
    let start = |transcript: &Transcript| {
        let start = Start::with(BINARY, targets::complete(&transcript.settings));
        start.args(["--exit-on-stdin-eof"]).stdin(Stdio::piped()).start()
    };
    let check = |transcript: &Transcript, target: &mut OverTcp<Daemon>| {
        let outcome = caught(transcript, || run::check(transcript, target));
        outcome.map_err(|what| format!("over TCP: {what}\n{}", target.log()))
    };
    for round in 1..=ROUNDS {
        let outcomes = in_one_second(std::mem::take(&mut pending), start, check);
        for (transcript, outcome, is_one_second) in outcomes {
            match outcome {
                Err(what) if is_one_second || round == ROUNDS => failures.push(what),
                Err(_) => pending.push(transcript),
                Ok(()) => {}
            }
        }
        if pending.is_empty() {
            break;
        }
    }
    none_failed(&failures, all.len());
}
