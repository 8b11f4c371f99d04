//! Pace: how much one turn of the loop does at most, so that no connection waits long for others.
//! A turn is bounded by time; the clock is looked at between portions of work. The network in
//! memory that tests use has no time: it takes portions of the same size.

/// Events taken from the system at once.
pub const EVENTS_PER_TURN: usize = 1024;

/// When a turn flushes no more sockets that may take more, microseconds from its beginning.
pub(super) const FLUSHING_US: u64 = 60;

/// When it reads no more sockets that had more than one buffer, or that an earlier turn had no time
/// for.
pub(super) const READING_AGAIN_US: u64 = 120;

/// When it reads no more sockets that events name: those are read in the next turn.
pub(super) const READING_US: u64 = 180;

/// When it carries out no more deliveries, nor reads more next polls of large fan-outs. Of each it
/// does one portion in any case, and what it has read is answered.
pub(super) const TURN_US: u64 = 250;

/// When it closes no more sockets. To close one takes the system 5 µs, and 80 µs where megabytes
/// are on their way to it.
pub(super) const CLOSING_US: u64 = 1000;

/// Sockets that are read, or closed, before the clock is looked at.
pub(super) const READS_AT_ONCE: usize = 8;

/// Outputs of fan-outs that are taken from the relay before the first is carried out: what the
/// relay needs for a delivery stays in the processor's caches, which a system call leaves to the
/// kernel's code. Behind them the clock is looked at.
pub const OUTPUTS_AT_ONCE: usize = 32;

/// About as many as a turn has time for: so many does one take that has no clock.
pub const OUTPUTS_PER_TURN: usize = 3 * OUTPUTS_AT_ONCE;

/// Bytes read from one connection before others have their turn; the size of the one buffer that
/// all connections are read into.
pub const READ_BYTES: usize = 64 << 10;

/// Bytes that one socket is given before others have their turn. Over loopback to a fast reader,
/// one system call would take megabytes, and milliseconds.
pub(super) const WRITE_BYTES: usize = 128 << 10;

/// Steps of TLS handshakes that are done in one turn: a step costs 0.2 ms at most.
pub const HANDSHAKE_STEPS: usize = 1;

/// Next polls of a large fan-out's subscribers that are read in one turn while fan-outs go on: what
/// they want is not there yet, and the deliveries of others are.
pub const FANOUT_READS_BESIDE: usize = 1;

/// After so many turns in a row beside fan-outs it is as many as without: more than a fan-out to
/// ten thousand takes, and about a quarter of a second.
pub(super) const FANOUT_TURNS: u32 = 1000;

/// Such polls that are read without fan-outs before the clock is looked at.
pub const FANOUT_READS: usize = 16;
