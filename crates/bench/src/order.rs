//! Order: the sequence numbers that a subscriber has received on one channel, from 1. Finds gaps,
//! repeats and messages out of order, in constant memory.

/// How many numbers back a late message can be told from a repeated one.
const WINDOW: u64 = 64;

/// The newest sequence number received, and which of the `WINDOW` numbers up to it.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    newest: u64,
    /// Bit k: the message `newest - k` was received.
    received: u64,
}

/// What the arrival of one message means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The expected message.
    Next,
    /// Newer than expected: this many were skipped, and may still come late.
    Ahead(u64),
    /// A message that was skipped before.
    Late,
    /// A message received before, or too old to tell.
    Repeated,
}

impl Default for Order {
    /// Before the first message; number 0 counts as received.
    fn default() -> Self {
        Self { newest: 0, received: 1 }
    }
}

impl Order {
    /// Notes the message with this number.
    pub(crate) fn note(&mut self, sequence: u64) -> Arrival {
        if sequence > self.newest {
            let step = sequence - self.newest;
            self.received = if step < WINDOW { self.received << step | 1 } else { 1 };
            self.newest = sequence;
            return if step == 1 { Arrival::Next } else { Arrival::Ahead(step - 1) };
        }
        let age = self.newest - sequence;
        if age >= WINDOW || self.received & 1 << age != 0 {
            return Arrival::Repeated;
        }
        self.received |= 1 << age;
        Arrival::Late
    }

    /// The newest sequence number received; 0 before the first.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Order};

    fn arrivals(sequences: &[u64]) -> Vec<Arrival> {
        let mut order = Order::default();
        sequences.iter().map(|&sequence| order.note(sequence)).collect()
    }

    #[test]
    fn messages_in_order_are_each_the_next() {
        assert_eq!(arrivals(&[1, 2, 3]), [Arrival::Next; 3]);
    }

    #[test]
    fn a_message_left_out_is_told_and_then_late() {
        use Arrival::{Ahead, Late, Next, Repeated};
        assert_eq!(arrivals(&[1, 4, 2, 3, 3, 5]), [Next, Ahead(2), Late, Late, Repeated, Next]);
    }

    #[test]
    fn a_message_received_twice_is_repeated_even_the_newest() {
        assert_eq!(arrivals(&[1, 1]), [Arrival::Next, Arrival::Repeated]);
    }

    #[test]
    fn a_jump_beyond_the_window_forgets_what_was_before() {
        use Arrival::{Ahead, Late, Next, Repeated};
        assert_eq!(
            arrivals(&[1, 101, 1, 100, 38, 37]),
            [Next, Ahead(99), Repeated, Late, Late, Repeated]
        );
        assert_eq!(arrivals(&[1, 65]), [Next, Ahead(63)]);
    }
}
