//! Traffic: the relay, and what its bytes go to: sockets, files of stores, and notices to Django.
//! Carries out what the relay asks for; decides nothing.

use super::pace::{OUTPUTS_AT_ONCE, TURN_US};
use super::socket::Socket;
use super::sockets::Sockets;
use super::worker::passthrough::Passthrough;
use super::worker::persist::Persist;
use super::worker::resolver::Resolver;
use crate::clock::{Clock, Now};
use crate::relay::{Command, ConnKey, Exhibit, Input, Output, Relay, Wanted};

/// See the module.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) relay: Relay,
    /// Says how long the turn takes.
    pub(super) clock: Clock,
    pub(super) sockets: Sockets,
    pub(super) passthrough: Passthrough,
    pub(super) persist: Persist,
    pub(super) resolver: Resolver,
    /// Who waits for figures, and for which.
    pub(super) asked: Vec<(ConnKey, Exhibit)>,
    /// Outputs that are carried out next; kept for its room.
    pub(super) at_hand: Vec<Output>,
}

impl Traffic {
    /// Takes back what was written to files: its publishers are answered with the next outputs.
    pub(super) fn take_written(&mut self, now: Now) {
        while let Some((batch, outcome)) = self.persist.poll() {
            self.relay.command(Command::Written(batch, outcome), now);
        }
    }

    /// Takes back what has become of what Django was told of members.
    pub(super) fn take_told(&mut self, now: Now) {
        while let Some((number, reaction)) = self.passthrough.poll() {
            self.relay.command(Command::Told { number, reaction }, now);
        }
    }

    /// Whether no connection is open but those of stores.
    pub(super) fn is_unused(&self) -> bool {
        self.sockets.table.open() <= self.relay.state().store_connections()
    }

    /// Dials what was looked up.
    pub(super) fn take_resolved(&mut self, now: Now) {
        while let Some((store, name, port, addresses)) = self.resolver.poll() {
            let resolved = Command::Resolved { store, name: &name, port, addresses };
            self.relay.command(resolved, now);
        }
    }

    /// Tells the relay what became of notices, where it records that. No turn begins for it.
    pub(super) fn take_reports(&mut self, now: Now) {
        if self.relay.state().records() {
            for report in self.passthrough.take_reports() {
                self.relay.command(Command::Noticed(&report), now);
            }
        }
    }

    /// Has the stores' files written.
    pub(super) fn write_files(&mut self, now: Now) {
        while let Some(batch) = self.relay.next_batch(now) {
            self.persist.write(batch);
        }
    }

    /// Carries out every output that is no fan-out's.
    pub(super) fn carry_out_answers(&mut self, now: Now) {
        while let Some(output) = self.relay.poll_output(Wanted::Answers, now) {
            self.carry_out(output, now);
        }
    }

    /// Reads next polls of large fan-outs' subscribers, and answers them.
    pub(super) fn read_later(&mut self, now: Now) {
        while self.sockets.read_later(&mut self.relay, now) {
            self.carry_out_answers(now);
            if self.clock.is_past(now, TURN_US) {
                break;
            }
        }
    }

    /// Carries out one turn's outputs of fan-outs. The end of a hold may be several, which are
    /// carried out together: the client's next bytes must not come between them.
    pub(super) fn carry_out_deliveries(&mut self, now: Now) {
        let mut at_hand = std::mem::take(&mut self.at_hand);
        while self.relay.poll_outputs(&mut at_hand, OUTPUTS_AT_ONCE, now) {
            at_hand.drain(..).for_each(|output| self.carry_out(output, now));
            if self.clock.is_past(now, TURN_US) {
                break;
            }
        }
        self.at_hand = at_hand;
        self.carry_out_answers(now);
    }

    fn carry_out(&mut self, output: Output, now: Now) {
        let Self { relay, sockets, passthrough, resolver, asked, .. } = self;
        match output {
            Output::Send { conn, payload, many_waited } => {
                sockets.send(conn, payload, many_waited, relay, now);
            }
            Output::ShutdownWrite { conn } => sockets.apply(conn, Socket::shut),
            Output::Close { conn } => sockets.apply(conn, Socket::close),
            Output::Reset { conn } => sockets.apply(conn, Socket::reset),
            Output::Abort { conn } => sockets.abort(conn),
            Output::Connect { conn, to, of } => {
                if let Err(cause) = sockets.dial(conn, &to, of.as_ref()) {
                    relay.handle_input(conn, Input::ConnectFailed(cause), now);
                    relay.handle_input(conn, Input::Closed, now);
                }
            }
            Output::Resolve { store, name, port } => resolver.ask(store, &name, port),
            Output::Figures { conn, exhibit } => asked.push((conn, exhibit)),
            Output::ResumeRead { conn } => sockets.read_again(conn),
            Output::Tell { number, telling } => passthrough.tell(number, telling, now.mono_ms),
            Output::Notify { event, notice } => passthrough.notify(event, notice, now.mono_ms),
        }
    }
}
