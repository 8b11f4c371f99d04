//! JSON: figures as the fields of an object, each under its name in the log line. The second of the
//! three writers over [`Figures::each`].

use std::fmt;

use super::{Figure, Figures};

/// Fields with a comma behind each but the last, without braces.
#[derive(Debug)]
pub struct Fields<'f>(pub &'f Figures);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Figure { name, value, .. } in self.0.each() {
            write!(f, "\"{name}\": {value}, ")?;
        }
        let turn = self.0.durations.turn;
        write!(
            f,
            "\"turns\": {}, \"turns_us\": {}, \"reloaded_at\": ",
            turn.count(),
            turn.sum_us()
        )?;
        match self.0.settings.reloaded_at_s {
            Some(at_s) => write!(f, "{at_s}"),
            None => f.write_str("null"),
        }
    }
}
