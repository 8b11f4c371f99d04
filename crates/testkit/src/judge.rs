//! Judge: whether all that one side of a connection was sent is sound, from its bytes alone. It
//! knows no state of the relay. The fuzzer's round of the relay uses it, and
//! `tests/daemon/mangled.rs`.

use pushserver::http::head::HEADERS_MAX;
use pushserver::http::{BodyDecoder, Framing, HeadLimits, HeaderSlots, Scan, parse_request, scan};

use crate::answer::{Answer, Front, head_bytes};

const WIDE: HeadLimits =
    HeadLimits { header_bytes: 1 << 20, headers: HEADERS_MAX, uri_bytes: 1 << 20 };

/// One request, as far as its answer depends on it.
#[derive(Debug, Default)]
struct Asked {
    is_head: bool,
    upgrades: bool,
}

/// What is behind the last request.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing, or the body of that request is not whole.
    Nothing,
    /// Not even a head that is sound and whole.
    NoHead,
    /// The body of that request is malformed.
    BadBody,
}

/// What a client got.
#[derive(Debug)]
pub struct Verdict {
    /// How many of them began.
    pub answers: u64,
    /// The last one may be followed by another.
    pub is_whole: bool,
}

/// What is behind an answer.
enum Behind<'b> {
    Answers(&'b [u8]),
    /// Nothing, and nothing can be.
    Nothing,
    /// The rest of its body.
    Body,
}

/// A client got one answer for each of its requests at most, in their order, and nothing else.
/// `limits`: those of the relay. `is_cut`: the last answer may end anywhere.
pub fn client(sent: &[u8], got: &[u8], limits: &HeadLimits, is_cut: bool) -> Verdict {
    let (asked, behind) = requests(sent, limits, false);
    // What cannot be read as a request is answered, too.
    let last_word = (behind == Rest::NoHead).then(Asked::default);
    let mut asked = asked.iter().chain(&last_word);
    let mut rest = got;
    let mut verdict = Verdict { answers: 0, is_whole: true };
    while !rest.is_empty() {
        let request = asked.next();
        let request = request.unwrap_or_else(|| panic!("unasked: {}", rest.escape_ascii()));
        verdict.answers += 1;
        match behind_answer(rest, request, is_cut) {
            Behind::Answers(answers) => rest = answers,
            Behind::Nothing => break,
            Behind::Body => return Verdict { is_whole: false, ..verdict },
        }
    }
    verdict
}

/// An upstream got sound requests, framed in one way.
pub fn upstream(got: &[u8]) {
    let (asked, behind) = requests(got, &WIDE, true);
    let is_tunnel = asked.last().is_some_and(|request| request.upgrades);
    assert!(behind == Rest::Nothing || is_tunnel, "{behind:?}: {}", got.escape_ascii());
}

/// The requests that bytes are, and what is behind them.
fn requests(mut bytes: &[u8], limits: &HeadLimits, to_upgrade: bool) -> (Vec<Asked>, Rest) {
    let mut asked = Vec::new();
    while let Some((len, framing, request)) = request(bytes, limits) {
        let is_last = to_upgrade && request.upgrades;
        asked.push(request);
        let mut body = BodyDecoder::new(framing, u64::MAX).expect("no limit");
        bytes = &bytes[len..];
        while !bytes.is_empty() && !body.is_done() {
            match body.decode(bytes) {
                Ok(decoded) => bytes = &bytes[decoded.consumed..],
                Err(_) => return (asked, Rest::BadBody),
            }
        }
        if is_last {
            break;
        }
    }
    (asked, if bytes.is_empty() { Rest::Nothing } else { Rest::NoHead })
}

fn request(bytes: &[u8], limits: &HeadLimits) -> Option<(usize, Framing, Asked)> {
    let Ok(Scan::Complete { len }) = scan(bytes, 0, limits) else { return None };
    let mut slots = HeaderSlots::new();
    let head = parse_request(&bytes[..len], &mut slots, limits).ok()?;
    let asked = Asked { is_head: head.method == "HEAD", upgrades: head.upgrade.is_some() };
    Some((len, head.framing, asked))
}

/// Whether an answer is an event stream that the relay itself has begun.
fn is_own_stream(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&bytes[..head_bytes(bytes).unwrap_or(0)]).into_owned();
    let has = |line| head.contains(line);
    has("\r\nContent-Type: text/event-stream; charset=utf-8\r\n")
        && has("\r\nX-Accel-Buffering: no\r\n")
}

fn behind_answer<'b>(mut bytes: &'b [u8], request: &Asked, is_cut: bool) -> Behind<'b> {
    loop {
        let text = || bytes.escape_ascii();
        let front = Answer::read(bytes, request.is_head);
        let (answer, length) = match front.unwrap_or_else(|wrong| panic!("{wrong}: {}", text())) {
            Front::Whole(answer, length) => (answer, length),
            // A stream of the daemon's own goes on as long as its connection.
            Front::Body if is_own_stream(bytes) => return Behind::Nothing,
            Front::Body => return Behind::Body,
            Front::Head if is_cut => return Behind::Body,
            Front::Head => panic!("no head of an answer: {}", text()),
        };
        let rest = &bytes[length..];
        match answer.status {
            101 => {
                assert!(request.upgrades, "a tunnel that nobody asked for");
                return Behind::Nothing;
            }
            100..=199 if rest.is_empty() => return Behind::Nothing,
            100..=199 => bytes = rest,
            _ if !answer.closes() => return Behind::Answers(rest),
            _ => {
                assert!(rest.is_empty(), "behind the last: {}", rest.escape_ascii());
                return Behind::Nothing;
            }
        }
    }
}
