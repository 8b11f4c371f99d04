//! Pace: how much one turn of the loop does at most, so that no connection waits long for others.
//! The network in memory that tests use keeps to the same bounds.

/// Events taken from the system at once.
pub const EVENTS_PER_TURN: usize = 1024;

/// Outputs of fan-outs that are carried out before events are looked at again: less than a
/// millisecond of deliveries.
pub const OUTPUTS_PER_TURN: usize = 96;

/// Of these, so many are taken from the relay before the first is carried out: what the relay needs
/// for a delivery stays in the processor's caches, which a system call leaves to the kernel's code.
pub const OUTPUTS_AT_ONCE: usize = 32;

/// Bytes read from one connection before others have their turn; the size of the one buffer that
/// all connections are read into.
pub const READ_BYTES: usize = 64 << 10;

/// Steps of TLS handshakes that are done in one turn: a step costs 0.2 ms at most.
pub const HANDSHAKE_STEPS: usize = 4;

/// Next polls of a large fan-out's subscribers that are read in one turn while fan-outs go on.
pub const FANOUT_READS_BESIDE: usize = 16;

/// Such polls that are read in one turn without fan-outs. Each may be answered at once, so this too
/// is about a millisecond.
pub const FANOUT_READS: usize = 96;
