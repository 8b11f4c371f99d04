//! Inspecting: somebody with the secret asks what has happened, and who is there, beside all that
//! the others do. Whatever their bytes were, each answer is sound JSON.

use serde_json::Value;

use crate::answer::{Answer, Front};
use crate::network::Network;

/// Most bytes of an answer with events.
const ANSWER_BYTES: usize = 256 << 10;

/// Before so many events nothing of them can have been lost: the texts of so many notices always
/// have room.
const NEVER_LOST: u64 = 32;

/// How far somebody has read.
#[derive(Debug, Default)]
pub(crate) struct Inspecting {
    after: u64,
    /// Recording has ended since: what was not read is lost, whether there was any or not.
    is_cut: bool,
}

impl Inspecting {
    /// Other settings are there, by which something is recorded or not.
    pub(crate) fn reloaded(&mut self, is_on: bool) {
        self.is_cut |= !is_on;
    }

    /// Looks at all that there is.
    pub(crate) fn look(&mut self, network: &mut Network, is_on: bool) {
        for name in ["channels", "status"] {
            if let Some(answer) = ask(network, name) {
                assert_eq!(answer.status, 200, "{name}: {}", answer.head);
                assert!(json(&answer).is_object(), "{name}: {:?}", answer.body.escape_ascii());
            }
        }
        let after = self.after;
        let Some(answer) = ask(network, &format!("events?after={after}")) else { return };
        if !is_on {
            return assert_eq!(answer.status, 404, "{}", answer.head);
        }
        assert_eq!(answer.status, 200, "{}", answer.head);
        assert!(answer.body.len() <= ANSWER_BYTES, "{} bytes", answer.body.len());
        let told = json(&answer);
        let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} in {told}"));
        let events = told["events"].as_array().expect("a list");
        let numbers: Vec<u64> = events.iter().map(|event| number(&event["n"])).collect();
        let (next, lost) = (number(&told["next"]), number(&told["lost"]));
        assert!(numbers.is_sorted_by(|one, other| one < other), "{numbers:?}");
        assert!(numbers.first().is_none_or(|first| *first > after), "{numbers:?} after {after}");
        assert_eq!(numbers.last().copied().unwrap_or(after), next);
        assert_eq!(next - after, lost + numbers.len() as u64, "lost of those after {after}");
        let is_right = lost == 0 || next - after > NEVER_LOST || self.is_cut;
        assert!(is_right, "{lost} of {after} to {next} are lost");
        (self.after, self.is_cut) = (next, false);
    }
}

/// What somebody is answered who asks so; `None`: the relay takes nobody any more.
fn ask(network: &mut Network, what: &str) -> Option<Answer> {
    let conn = network.connect();
    let head = "Host: relay\r\nAccept: application/json\r\nAuthorization: Bearer s\r\n\r\n";
    network.send(conn, format!("GET /status/{what} HTTP/1.1\r\n{head}").as_bytes());
    (0..3).for_each(|_| network.turn());
    let got = &network.peers.get(conn).got;
    let answer = match Answer::read(got, false).expect("a sound answer") {
        Front::Whole(answer, _) => Some(answer),
        Front::Head if got.is_empty() => None,
        rest => panic!("{rest:?} to {what}: {}", got.escape_ascii()),
    };
    network.reset(conn);
    network.turn();
    answer
}

fn json(answer: &Answer) -> Value {
    let text = answer.body.escape_ascii();
    serde_json::from_slice(&answer.body).unwrap_or_else(|wrong| panic!("{wrong}: {text}"))
}
