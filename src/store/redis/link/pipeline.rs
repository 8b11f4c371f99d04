//! Pipeline: the commands that were sent and are not answered, oldest first, with what may have to
//! be sent of them again.

use std::collections::VecDeque;

use crate::store::redis::scripts::{Command, Script};

/// Commands under way at most, and bytes of those that may be sent again.
pub const COMMANDS_MAX: usize = 1024;
/// See [`COMMANDS_MAX`].
pub const COMMAND_BYTES_MAX: usize = 32 << 20;

/// See the module. `K` names a command to its caller.
#[derive(Debug)]
pub(super) struct Pipeline<K> {
    asked: VecDeque<Asked<K>>,
    /// Those of callers.
    commands: usize,
    bytes: usize,
}

/// A command that was sent.
#[derive(Debug)]
pub(super) struct Asked<K> {
    /// When it was sent, the last time if it was sent again, milliseconds.
    pub(super) sent_ms: u64,
    pub(super) kind: Kind<K>,
}

#[derive(Debug)]
pub(super) enum Kind<K> {
    /// Whether the server is there.
    Ping,
    /// The beginning or the end of a subscription: its answer is a push, or an error.
    Subscription,
    /// Of a caller, with the command while it may have to be sent again.
    Caller(K, Option<Command>),
}

impl<K> Pipeline<K> {
    pub(super) fn new() -> Self {
        Self { asked: VecDeque::new(), commands: 0, bytes: 0 }
    }

    /// Notes what was sent now.
    pub(super) fn push(&mut self, asked: Asked<K>) {
        self.bytes += bytes(&asked);
        self.commands += usize::from(is_command(&asked));
        self.asked.push_back(asked);
    }

    /// The one that is answered next.
    pub(super) fn pop(&mut self) -> Option<Asked<K>> {
        let asked = self.asked.pop_front()?;
        self.bytes -= bytes(&asked);
        self.commands -= usize::from(is_command(&asked));
        Some(asked)
    }

    /// Takes the one that is answered next, if that is a subscription.
    pub(super) fn pop_subscription(&mut self) -> bool {
        let next = self.asked.front().map(|asked| &asked.kind);
        matches!(next, Some(Kind::Subscription)) && self.pop().is_some()
    }

    /// Whether a publish is answered next.
    pub(super) fn expects_published(&self) -> bool {
        match self.asked.front().map(|asked| &asked.kind) {
            Some(Kind::Caller(_, Some(command))) => command.script() == Some(Script::Publish),
            _ => false,
        }
    }

    /// Takes all that are under way; gives those of callers.
    pub(super) fn take_callers(&mut self) -> impl Iterator<Item = K> {
        let all = std::mem::replace(self, Self::new());
        all.asked.into_iter().filter_map(|asked| match asked.kind {
            Kind::Caller(key, _) => Some(key),
            Kind::Ping | Kind::Subscription => None,
        })
    }

    /// Whether there is room for a command of a caller.
    pub(super) fn has_room(&self, command: &Command) -> bool {
        self.commands < COMMANDS_MAX
            && self.bytes.saturating_add(command.bytes()) <= COMMAND_BYTES_MAX
    }

    /// Whether half of the room is left, for what cannot wait.
    pub(super) fn is_half_free(&self) -> bool {
        self.commands < COMMANDS_MAX / 2 && self.bytes < COMMAND_BYTES_MAX / 2
    }

    /// When the one was sent that is answered next, which is the oldest, milliseconds.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        self.asked.front().map(|asked| asked.sent_ms)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Commands of callers.
    pub(super) fn commands(&self) -> usize {
        self.commands
    }
}

fn bytes<K>(asked: &Asked<K>) -> usize {
    match &asked.kind {
        Kind::Caller(_, Some(command)) => command.bytes(),
        Kind::Caller(_, None) | Kind::Ping | Kind::Subscription => 0,
    }
}

fn is_command<K>(asked: &Asked<K>) -> bool {
    matches!(asked.kind, Kind::Caller(..))
}
