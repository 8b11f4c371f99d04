//! Outputs: carries out what the relay asks for: on sockets, by dialling, by notices to Django.
//! Decides nothing.

use super::dial::dial;
use super::pace::OUTPUTS_PER_TURN;
use super::sockets::Sockets;
use super::worker::passthrough::Passthrough;
use crate::clock::Now;
use crate::relay::{Input, Output, Relay, Wanted};

/// See the module.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) sockets: Sockets,
    pub(super) passthrough: Passthrough,
}

impl Outputs {
    /// Carries out every output that is no fan-out's.
    pub(super) fn carry_out_answers(&mut self, relay: &mut Relay, now: Now) {
        while let Some(output) = relay.poll_output(Wanted::Answers, now) {
            self.carry_out(output, relay, now);
        }
    }

    /// Carries out one turn's outputs of fan-outs.
    pub(super) fn carry_out_deliveries(&mut self, relay: &mut Relay, now: Now) {
        for _ in 0..OUTPUTS_PER_TURN {
            let Some(output) = relay.poll_output(Wanted::All, now) else { break };
            self.carry_out(output, relay, now);
        }
    }

    fn carry_out(&mut self, output: Output, relay: &mut Relay, now: Now) {
        let Self { sockets, passthrough } = self;
        match output {
            Output::Send { conn, payload, crowd } => {
                sockets.send(conn, payload, crowd, relay, now);
            }
            Output::ShutdownWrite { conn } => sockets.shut(conn),
            Output::Close { conn } => sockets.close(conn),
            Output::Abort { conn } => sockets.abort(conn),
            Output::Reset { conn } => sockets.reset(conn),
            Output::Connect { conn, to } => {
                if let Err(cause) = dial(conn, &to, sockets) {
                    relay.handle_input(conn, Input::ConnectFailed(cause), now);
                    relay.handle_input(conn, Input::Closed, now);
                }
            }
            Output::ResumeRead { conn } => sockets.read_again(conn),
            Output::Notify { event, notice } => passthrough.notify(event, notice, now.mono_ms),
        }
    }
}
