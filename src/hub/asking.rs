//! Asking: callers that wait for a store, and how long polls among them do. Asks nobody.

use std::collections::HashMap;

use super::pending::Pending;
use crate::clock::Now;
use crate::jitter::Jitter;
use crate::message::Delivery;
use crate::store::Ticket;
use crate::wheel::Wheel;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// Questions that a store has not answered yet. A question whose caller is gone is not here.
    callers: HashMap<Ticket, Pending>,
    /// Of polls among them whose answer may come late; made with the first.
    timeouts: Option<Box<Wheel<Ticket>>>,
}

impl Asking {
    /// A caller waits. A poll does no longer than it would be held.
    pub(super) fn wait(
        &mut self,
        mut pending: Pending,
        ticket: Ticket,
        jitter: &mut Jitter,
        now: Now,
    ) {
        // Other answers come soon, or are given up by whoever waits.
        if ticket.is_patient()
            && let Some(subscribe) = pending.waits()
            && subscribe.delivery == Delivery::LongPoll
            && let Some(due_ms) = subscribe.due_ms(jitter, now)
        {
            let timeouts = self.timeouts.get_or_insert_with(|| Box::new(Wheel::new(now.mono_ms)));
            pending.timer = Some(timeouts.set(due_ms, ticket));
        }
        self.callers.insert(ticket, pending);
    }

    /// Takes out a caller that its store has answered; a poll has what is left of its time.
    pub(super) fn answered(&mut self, ticket: Ticket, now: Now) -> Option<Pending> {
        let timer = self.callers.get(&ticket)?.timer;
        let due_ms = timer.and_then(|timer| self.timeouts.as_ref()?.due_ms(timer));
        let mut pending = self.forget(ticket)?;
        if let (Some(due_ms), Some(subscribe)) = (due_ms, pending.waits()) {
            subscribe.timeout_ms = due_ms.saturating_sub(now.mono_ms).max(1);
        }
        Some(pending)
    }

    /// Takes out a caller that does not wait any longer.
    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<Pending> {
        let mut pending = self.callers.remove(&ticket)?;
        if let (Some(timer), Some(timeouts)) = (pending.timer.take(), &mut self.timeouts) {
            timeouts.cancel(timer);
        }
        Some(pending)
    }

    /// A poll whose time is up.
    pub(super) fn pop_timed_out(&mut self, now: Now) -> Option<Ticket> {
        let ticket = self.timeouts.as_mut()?.pop_expired(now.mono_ms)?;
        if let Some(pending) = self.callers.get_mut(&ticket) {
            pending.timer = None;
        }
        Some(ticket)
    }

    /// The subscribers whose answers may come late, in the order in which they asked.
    pub(super) fn subscribers(&mut self) -> Vec<Ticket> {
        let waiting = |(ticket, pending): (&Ticket, &mut Pending)| {
            (ticket.is_patient() && pending.waits().is_some()).then_some(*ticket)
        };
        let mut all: Vec<Ticket> = self.callers.iter_mut().filter_map(waiting).collect();
        all.sort_unstable();
        all
    }

    pub(super) fn len(&self) -> usize {
        self.callers.len()
    }

    pub(super) fn timers(&self) -> usize {
        self.timeouts.as_ref().map_or(0, |timeouts| timeouts.len())
    }

    /// When a poll's time is up, milliseconds.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.timeouts.as_ref()?.next_deadline()
    }
}
