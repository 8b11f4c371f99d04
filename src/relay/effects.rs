//! Effects: what a step of the relay may write to beside the connection at hand. Decides nothing.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::Output;
use super::client::ConnTimer;
use super::conn_key::ConnKey;
use super::counters::Counters;
use crate::wheel::Wheel;

/// See the module.
#[derive(Debug)]
pub(super) struct Effects {
    pub(super) outputs: VecDeque<Output>,
    pub(super) wheel: Wheel<(ConnKey, ConnTimer)>,
    /// Connections with bytes that wait, to go on with in the next turn.
    pub(super) ready: VecDeque<ConnKey>,
    pub(super) counters: Counters,
    /// Bytes of bodies that are not whole yet.
    pub(super) uploading: Rc<Cell<usize>>,
    /// The daemon stops: every answer is the last of its connection.
    pub(super) stopping: bool,
}

impl Effects {
    /// Nothing to be done, from this time on, milliseconds.
    pub(super) fn new(now_ms: u64) -> Self {
        Self {
            outputs: VecDeque::new(),
            wheel: Wheel::new(now_ms),
            ready: VecDeque::new(),
            counters: Counters::default(),
            uploading: Rc::default(),
            stopping: false,
        }
    }

    /// Gives back the room that nothing needs any more.
    pub(super) fn shrink(&mut self) {
        self.wheel.shrink();
        self.outputs.shrink_to(0);
        self.ready.shrink_to(0);
    }
}
