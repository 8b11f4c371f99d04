//! Django: what the relay of a network tells, and how that is taken: well, late, or not at all. It
//! keeps who it thinks is there; it never checks that.

use std::collections::{BTreeMap, BTreeSet};

use pushserver::clock::Now;
use pushserver::relay::notice::{Reaction, Telling};
use pushserver::relay::{Command, Relay};

use crate::notices::Notices;

/// How it takes what it is told of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants' words say what the fields are")]
pub enum Taking {
    /// It answers with this status, after so many milliseconds; it has taken it where that is 2xx.
    Answers { status: u16, after_ms: u64 },
    /// Nobody is there.
    Refuses,
    /// It does not answer within so many milliseconds, though it may have taken it.
    Hangs { takes: bool, for_ms: u64 },
    /// It ends before it answers, though it may have taken it.
    Breaks { takes: bool },
}

/// See the file.
#[derive(Debug)]
pub struct Django {
    /// From now on.
    pub taking: Taking,
    /// Every form that it has taken.
    pub taken: Vec<String>,
    /// Who is there, by what it has taken: channel and member.
    pub present: BTreeSet<(String, String)>,
    /// How often it was told something, whether it has taken that or not.
    pub tried: usize,
    /// By when the answer is due, and the number of the notice.
    answers: BTreeMap<(u64, u64), Reaction>,
    /// What is told of holds.
    pub(crate) notices: Notices,
}

impl Default for Django {
    fn default() -> Self {
        Self {
            taking: Taking::Answers { status: 200, after_ms: 0 },
            taken: Vec::new(),
            present: BTreeSet::new(),
            tried: 0,
            answers: BTreeMap::new(),
            notices: Notices::default(),
        }
    }
}

impl Django {
    /// It is told something of members.
    ///
    /// # Panics
    /// If more is under way than should be.
    pub(crate) fn tell(&mut self, number: u64, telling: &Telling, now: Now) {
        assert!(self.answers.len() < 4, "more under way than there should be");
        self.tried += 1;
        let (takes, after_ms, reaction) = match self.taking {
            Taking::Answers { status, after_ms } => {
                ((200..300).contains(&status), after_ms, Reaction::Answered(status))
            }
            Taking::Refuses => (false, 0, Reaction::Unreachable),
            Taking::Hangs { takes, for_ms } => (takes, for_ms, Reaction::TimedOut),
            Taking::Breaks { takes } => (takes, 0, Reaction::Failed),
        };
        if takes {
            self.take(&telling.body);
        }
        self.answers.insert((now.mono_ms + after_ms, number), reaction);
    }

    fn take(&mut self, body: &str) {
        let fields: BTreeMap<&str, &str> =
            body.split('&').map(|pair| pair.split_once('=').expect("a pair")).collect();
        let member = || (fields["channel_id"].to_owned(), fields["member"].to_owned());
        if fields.contains_key("reset") {
            self.present.clear();
        } else if fields.contains_key("join") {
            self.present.insert(member());
        } else {
            self.present.remove(&member());
        }
        self.taken.push(body.to_owned());
    }

    /// Gives the answers that are due; first in a turn.
    pub(crate) fn answer(&mut self, relay: &mut Relay, now: Now) {
        while let Some(first) = self.answers.first_entry()
            && first.key().0 <= now.mono_ms
        {
            let ((_, number), reaction) = first.remove_entry();
            relay.command(Command::Told { number, reaction }, now);
        }
    }

    /// When something is due, of the relay or an answer to it, milliseconds.
    pub(crate) fn due_ms(&self, relay: &Relay) -> Option<u64> {
        let answer = self.answers.keys().next().map(|(due_ms, _)| *due_ms);
        relay.state().due_ms().into_iter().chain(answer).min()
    }

    /// How many holds it was told of, and not yet of their end.
    pub fn holds(&self) -> usize {
        self.notices.len()
    }
}
