//! Round of the whole relay: arbitrary bytes on several connections, and from an upstream; time
//! passes, clocks are set, peers stall, end and vanish, settings change, the daemon stops. Nothing
//! panics; every request is answered once at most, in sound answers; an upstream is sent sound
//! requests only; each subscribe notice has its unsubscribe; and at the end nothing is left.
//!
//! The first byte of an input chooses the settings. Then bytes are sent on the connection at hand,
//! but for commands, each of which is `\xff` and a letter:
//!
//! | command | meaning |
//! |---|---|
//! | `A` to `F` | this client is at hand from now on; it connects if it is not there |
//! | `a` to `f` | this connection to the upstream, counted among those that there are; it opens |
//! | ` ` | what follows comes later |
//! | `.` | the one at hand sends no more |
//! | `!` | its connection is gone |
//! | `(`, `-`, `)` | it reads no more; reads half of what waits; reads on |
//! | `~` | it takes no more, but what it sent is still there |
//! | `<` | all dials fail |
//! | `+n` | 2^n ms pass |
//! | `@n` | the wall clock is set |
//! | `%n` | so many outputs of fan-outs a turn |
//! | `=n` | other settings are read |
//! | `*` | another client asks the inspector, and its answers are looked at |
//! | `?n` | Django takes what it is told so |
//! | `^n` | so many idle connections are closed to make room |
//! | `$`, `#` | the daemon is about to stop; it stops |
//!
//! Whatever else follows `\xff` stands for itself.

mod inspecting;
mod play;
mod settings;

use play::Play;
use pushserver::relay::Command;

/// See the module.
pub fn round(data: &[u8]) {
    let Some((variant, script)) = data.split_first() else { return };
    let mut play = Play::new(*variant);
    follow(&mut play, script);
    play.end();
}

fn follow(play: &mut Play, script: &[u8]) {
    let mut bytes = script.iter().copied();
    let mut said = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != 0xff {
            said.push(byte);
            continue;
        }
        let Some(command) = bytes.next() else { break };
        if !b"ABCDEFabcdef .!(-)~<+@%=^$#?*".contains(&command) {
            said.extend([0xff, command]);
            continue;
        }
        play.say(&std::mem::take(&mut said));
        let mut number = || bytes.next().unwrap_or(0);
        match command {
            b'A'..=b'F' => play.turn_to_client(usize::from(command - b'A')),
            b'a'..=b'f' => play.turn_to_upstream(usize::from(command - b'a')),
            b'.' => play.ends(),
            b'!' => play.vanishes(),
            b'(' => play.stalls(),
            b'-' => play.takes_half(),
            b')' => play.takes_all(),
            b'~' => play.breaks(),
            b'<' => play.dials_fail(),
            b'+' => play.network.advance_ms(1 << (number() % 23)),
            b'@' => play.set_clock(number()),
            b'%' => play.network.pace = usize::from(number()).max(1),
            b'=' => play.reload(number()),
            b'?' => play.django(number()),
            b'*' => play.inspect(),
            b'^' => play.shed(usize::from(number())),
            b'$' => play.network.relay.command(Command::AnnounceShutdown, play.network.now),
            b'#' => {
                let now = play.network.now;
                play.network.relay.command(Command::Shutdown, now);
            }
            _ => {}
        }
        play.network.turn();
    }
    play.say(&said);
    play.network.turn();
}
