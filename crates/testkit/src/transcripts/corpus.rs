//! Corpus: all transcripts, and how to run them side by side.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::transcripts::targets::{OverTcp, Server, unix_s};
use crate::transcripts::transcript::Transcript;

/// Where they are.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transcripts")
}

/// All of them, or those that `TRANSCRIPT` is a part of the name of.
pub fn transcripts() -> Vec<Transcript> {
    let filter = std::env::var("TRANSCRIPT").unwrap_or_default();
    let mut all = Vec::new();
    for entry in std::fs::read_dir(directory()).expect("the directory is there") {
        let path = entry.expect("it can be read").path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "http") && name.contains(&filter) {
            let text = std::fs::read_to_string(&path).expect("it is text");
            let parsed = Transcript::parse(&name, &text);
            all.push(parsed.unwrap_or_else(|error| panic!("{name}.http: {error}")));
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!all.is_empty(), "there are transcripts");
    all
}

/// A panic on the way is a failure of this transcript, not of all.
pub fn caught<T>(
    transcript: &Transcript,
    run: impl FnOnce() -> Result<T, String>,
) -> Result<T, String> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    let outcome = outcome.unwrap_or_else(|_| Err("panicked, as said above".to_owned()));
    outcome.map_err(|what| format!("tests/transcripts/{}.http:{what}", transcript.name))
}

/// Transcripts that run side by side.
const THREADS: usize = 8;

/// Runs each on a server of its own, all begun when a second begins: ids and ages in transcripts
/// are those of one second. Gives what came of it, and whether it took no more than that second.
pub fn in_one_second<S: Server + Send, T: Send>(
    transcripts: Vec<&Transcript>,
    start: impl Fn(&Transcript) -> S,
    run: impl Fn(&Transcript, &mut OverTcp<S>) -> T + Sync,
) -> Vec<(&Transcript, T, bool)> {
    let waiting: Vec<_> = transcripts.into_iter().map(|one| (one, start(one))).collect();
    let (waiting, outcomes) = (Mutex::new(waiting), Mutex::new(Vec::new()));
    until_the_next_second();
    let next = || waiting.lock().unwrap().pop();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((transcript, server)) = next() {
                    let begin = unix_s();
                    let outcome = run(transcript, &mut OverTcp::new(server));
                    outcomes.lock().unwrap().push((transcript, outcome, unix_s() == begin));
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// Tags begin at 0 only in a second that began after the daemon did.
fn until_the_next_second() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    thread::sleep(Duration::from_nanos(1_000_000_000 - u64::from(since.subsec_nanos())));
}
