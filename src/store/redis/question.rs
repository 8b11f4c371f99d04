//! Question: what a command asks, so that its answer finds its way; and how it is sent. Decides
//! nothing.

use std::rc::Rc;

use super::link::Link;
use super::scripts::{Begin, Calls, Command};
use crate::message::MessageId;
use crate::store::ask::{StoreId, Ticket};

/// What a sync brings at once: messages, and bytes of them.
const SYNC_MESSAGES: u32 = 200;
const SYNC_BYTES: u32 = 1 << 20;

/// See the module. Names are those of the hub.
#[derive(Debug)]
pub(in crate::store) enum Question {
    /// `is_heard`: the channel was listened to when it was sent.
    Publish {
        ticket: Ticket,
        name: Box<[u8]>,
        is_heard: bool,
    },
    Put {
        ticket: Ticket,
        name: Box<[u8]>,
    },
    Info {
        ticket: Ticket,
        name: Box<[u8]>,
    },
    Delete {
        ticket: Ticket,
        name: Box<[u8]>,
    },
    /// One channel's part of a search, of its `round`th try; `waits`: for a mirror of it.
    Open {
        ticket: Ticket,
        round: u32,
        part: usize,
        name: Rc<[u8]>,
        waits: bool,
    },
    Sync(Rc<[u8]>),
    Lease(Rc<[u8]>),
    /// A channel that somebody waits on is made once more.
    Remake,
}

/// Sends what is asked of the channels of one store.
pub(super) struct Sender<'a> {
    pub(super) link: &'a mut Link<Question>,
    pub(super) calls: Calls<'a>,
    pub(super) store: StoreId,
    pub(super) now_ms: u64,
}

impl Sender<'_> {
    /// Whether commands that can wait may be sent.
    pub(super) fn has_room(&self) -> bool {
        self.link.has_spare_room()
    }

    pub(super) fn subscribe(&mut self, name: &[u8]) {
        let command = Command::subscribe(self.calls.keys, self.store.written(name));
        self.link.send_unanswered(&command, self.now_ms);
    }

    pub(super) fn unsubscribe(&mut self, name: &[u8]) {
        let command = Command::unsubscribe(self.calls.keys, self.store.written(name));
        self.link.send_unanswered(&command, self.now_ms);
    }

    /// Asks what came after an id; `false`: too much is under way.
    pub(super) fn sync(&mut self, name: &Rc<[u8]>, after: MessageId) -> bool {
        let written = self.store.written(name);
        let command = self.calls.sync(written, after, SYNC_MESSAGES, SYNC_BYTES);
        self.send(command, Question::Sync(Rc::clone(name)))
    }

    /// Notes that somebody waits, who asked so many seconds ago.
    pub(super) fn lease(&mut self, name: &Rc<[u8]>, asked_ago_s: u64) -> bool {
        let command = self.calls.lease(self.store.written(name), asked_ago_s);
        self.send(command, Question::Lease(Rc::clone(name)))
    }

    /// Asks for the first message; `may`: whether the channel may be made, and whether the
    /// subscriber waits.
    pub(super) fn open(
        &mut self,
        name: &[u8],
        begin: Begin,
        (create, waits): (bool, bool),
        question: Question,
    ) -> bool {
        let command = self.calls.open(self.store.written(name), begin, create, waits);
        self.send(command, question)
    }

    fn send(&mut self, command: Command, question: Question) -> bool {
        self.link.send(command, question, self.now_ms).is_ok()
    }
}
