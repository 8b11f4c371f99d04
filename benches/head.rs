//! Head: the cost of reading the head of a browser's long poll. Prints nanoseconds per head, with
//! the budget of 400 ns. Run with `cargo bench --bench head`.

use std::hint::black_box;
use std::time::Instant;

use pushserver::http::{HeadLimits, HeaderSlots, Scan, parse_request, scan};

const BUDGET_NS: f64 = 400.0;
const ROUNDS: usize = 201;
const HEADS_PER_ROUND: u32 = 5_000;

/// A request of Firefox, with the cursor of a page that has received a message.
const HEAD: &[u8] = b"GET /subscriber/room-17 HTTP/1.1\r\n\
Host: localhost:8001\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: */*\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate\r\n\
If-None-Match: 3\r\n\
If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
Origin: http://localhost:8000\r\n\
Connection: keep-alive\r\n\
Referer: http://localhost:8000/\r\n\
\r\n";

const LIMITS: HeadLimits = HeadLimits { header_bytes: 32 * 1024, headers: 100, uri_bytes: 8192 };

fn main() {
    println!("a head of {} bytes; fastest of {ROUNDS} rounds, and their median", HEAD.len());
    report("scan", None, || find_end(black_box(HEAD)));
    report("parse", None, || parse(black_box(HEAD), &[]));
    report("scan and parse", Some(BUDGET_NS), || {
        let head = black_box(HEAD);
        parse(&head[..find_end(head)], &[])
    });
    report("and look up 3 fields", None, || {
        let head = black_box(HEAD);
        parse(&head[..find_end(head)], &["If-Modified-Since", "If-None-Match", "Origin"])
    });
}

fn find_end(bytes: &[u8]) -> usize {
    match scan(bytes, 0, &LIMITS) {
        Ok(Scan::Complete { len }) => len,
        other => panic!("the head is whole and sound: {other:?}"),
    }
}

fn parse(head: &[u8], names: &[&str]) -> usize {
    let mut slots = HeaderSlots::new();
    let head = black_box(parse_request(head, &mut slots, &LIMITS).expect("the head is sound"));
    names.iter().map(|name| head.header(name).map_or(0, <[u8]>::len)).sum()
}

fn report(what: &str, budget_ns: Option<f64>, work: impl Fn() -> usize) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..HEADS_PER_ROUND {
                black_box(work());
            }
            started.elapsed().as_secs_f64() * 1e9 / f64::from(HEADS_PER_ROUND)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    let budget = budget_ns.map_or(String::new(), |ns| format!("   budget {ns:.0} ns"));
    // Other work on the machine disturbed the fastest round least.
    println!("{what:<22}{:>5.0} ns {:>5.0} ns{budget}", rounds[0], rounds[ROUNDS / 2]);
}
