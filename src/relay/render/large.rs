//! Large events: the lines of messages that are too large to be made once more for each stream.
//! Keeps none alive: they last as long as some stream still sends them.

use std::rc::{Rc, Weak};

use super::lines::Lines;
use crate::message::Message;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct LargeEvents(Vec<Weak<Lines>>);

impl LargeEvents {
    /// The lines `data:` of a message: those that others have, if any have.
    pub(super) fn lines(&mut self, message: &Rc<Message>) -> Rc<Lines> {
        self.0.retain(|lines| lines.strong_count() > 0);
        let mut known = self.0.iter().filter_map(Weak::upgrade);
        if let Some(lines) = known.find(|lines| Rc::ptr_eq(lines.message(), message)) {
            return lines;
        }
        let lines = Rc::new(Lines::of(message));
        self.0.push(Rc::downgrade(&lines));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Content;

    #[test]
    fn the_lines_of_a_message_are_made_once_while_anybody_has_them() {
        let message = |body: &[u8]| {
            let content = Content { body: body.into(), ..Content::default() };
            Rc::new(Message { time: 1, tag: 0, number: 0, sequence: 0, content })
        };
        let (one, other) = (message(b"a\nb"), message(b"c"));
        let mut large = LargeEvents::default();
        let first = large.lines(&one);
        assert_eq!(first.slices(0).0, b"data: a\ndata: b\n\n");
        assert!(Rc::ptr_eq(&first, &large.lines(&one)));
        let second = large.lines(&other);
        assert_eq!((large.0.len(), second.slices(0).0), (2, &b"data: c\n\n"[..]));
        drop(first);
        assert!(Rc::ptr_eq(&second, &large.lines(&other)));
        assert_eq!(large.0.len(), 1);
    }
}
