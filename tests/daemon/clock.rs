//! The wall clock is set back under the running daemon. Nobody but the system may set it, so a
//! library of a few lines of C, loaded before all others, tells the daemon another time.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use pushserver_testkit::{Daemon, Start, settings, until};

use crate::BINARY;

/// Two hours less than it is, while there is a file whose path is in `SET_BACK`.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    int outcome = syscall(SYS_clock_gettime, clock, time);
    const char *path = getenv("SET_BACK");
    if (clock == CLOCK_REALTIME && path && access(path, F_OK) == 0)
        time->tv_sec -= 7200;
    return outcome;
}
"#;

/// What the daemon takes for the time.
fn time(daemon: &Daemon) -> SystemTime {
    let answer = daemon.connect().get("/publisher/none").answer();
    httpdate::parse_http_date(answer.header("Date").expect("a date")).expect("a date")
}

#[test]
fn set_back_two_hours_and_on_again_nothing_is_lost_repeated_or_reordered() {
    const EACH: usize = 100;
    let start = Start::with(BINARY, settings());
    let (source, library) = (start.file("clock.c"), start.file("clock.so"));
    let set_back = start.file("set-back");
    fs::write(&source, SOURCE).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &source]);
    assert!(compiler.status().expect("cc is there: it links what cargo builds").success());
    let start = start.env("LD_PRELOAD", library.to_str().unwrap());
    let daemon = start.env("SET_BACK", set_back.to_str().unwrap()).start();
    let all: Vec<usize> = (0..3 * EACH).collect();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(daemon.follow("a", 3 * EACH), all));
        }
        let begin = time(&daemon);
        let mut publisher = daemon.connect();
        for number in 0..3 * EACH {
            if number == EACH {
                fs::write(&set_back, "").unwrap();
                // Not at once: it reads the wall clock once a millisecond.
                until("set back", || time(&daemon) < begin - Duration::from_secs(7000));
            } else if number == 2 * EACH {
                fs::remove_file(&set_back).unwrap();
                until("set on again", || time(&daemon) >= begin);
            }
            let answer = publisher.post("/publisher/a", number.to_string().as_bytes()).answer();
            assert!(matches!(answer.status, 201 | 202), "{}", answer.head);
        }
    });
    // A subscriber that begins only now gets them all, too.
    assert_eq!(daemon.follow("a", 3 * EACH), all);
}
