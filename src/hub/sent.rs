//! Sent: what is known of a message when its deliveries are over, and how many of these are kept
//! until they are taken. Brings nothing to anybody.

use std::rc::Rc;

use crate::clock::Now;
use crate::message::MessageId;

/// A message that everybody has been sent who waited for it: all polls, or all streams that were
/// not behind.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The name of its channel; `None`: that was deleted meanwhile.
    pub name: Option<Rc<[u8]>>,
    /// Its id in its channel.
    pub id: MessageId,
    /// To so many.
    pub to: usize,
    /// When it was published, or when its store was asked to keep it.
    pub began: Now,
}

/// Those since they were taken last, if anybody wants to know.
#[derive(Debug, Default)]
pub(super) struct SentLog(Option<Vec<Sent>>);

impl SentLog {
    /// Whether they are kept from now on.
    pub(super) fn keep(&mut self, is_kept: bool) {
        self.0 = is_kept.then(|| self.0.take().unwrap_or_default());
    }

    /// Notes what `sent` gives, if they are kept.
    pub(super) fn note(&mut self, sent: impl FnOnce() -> Sent) {
        if let Some(log) = &mut self.0 {
            log.push(sent());
        }
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Sent> + '_ {
        self.0.iter_mut().flat_map(|log| log.drain(..))
    }
}
