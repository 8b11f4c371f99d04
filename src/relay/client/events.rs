//! Events: what happens to a client's connection, but for its bytes and its end. Reads nothing.

use super::answering::resume_behind_hold;
use super::{Client, ConnTimer};
use crate::relay::input::Input;
use crate::relay::step::Step;

/// Takes what happened.
pub(in crate::relay) fn happened(client: &mut Client, input: Input<'_>, step: &mut Step<'_>) {
    match input {
        Input::Ended => client.end(step),
        Input::Stalled => client.stall(step),
        Input::Progressed => client.arm(ConnTimer::Write, step),
        Input::Drained => {
            client.drain(step);
            resume_behind_hold(client, step);
        }
        Input::Evicted => {
            client.close(step);
            step.effects.figures.shed += 1;
        }
        Input::Unread => client.unread = true,
        // The relay's own, and those of connections that it asked for.
        Input::Received(_) | Input::Closed | Input::Connected | Input::ConnectFailed(_) => {}
    }
}
