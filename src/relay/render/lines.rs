//! Lines: a body as the lines `data:` of an event. Of a large one they are written in pieces, each
//! when it is first sent: all at once would keep others waiting. No piece is written twice.

use std::cell::OnceCell;
use std::rc::Rc;

use crate::message::Message;

/// So many bytes of a body make a piece.
const PIECE: usize = 64 << 10;
const BEGIN: &[u8] = b"data: ";
const BREAK: &[u8] = b"\ndata: ";
const END: &[u8] = b"\n\n";

/// The lines of a message; see the module.
#[derive(Debug)]
pub struct Lines {
    message: Rc<Message>,
    pieces: Vec<Piece>,
    length: usize,
}

#[derive(Debug)]
struct Piece {
    /// Its first byte in the body.
    from: usize,
    /// Its first byte in the lines.
    at: usize,
    written: OnceCell<Box<[u8]>>,
}

impl Lines {
    pub(super) fn of(message: &Rc<Message>) -> Self {
        let body = &message.content.body;
        let mut pieces = Vec::with_capacity(body.len() / PIECE + 1);
        let (mut from, mut at) = (0, 0);
        while from < body.len() {
            pieces.push(Piece { from, at, written: OnceCell::new() });
            at += if from == 0 { BEGIN.len() } else { 0 };
            let mut end = body.len().min(from + PIECE);
            // What ends a line is not split.
            end += usize::from(body[end - 1] == b'\r' && body.get(end) == Some(&b'\n'));
            at += written_length(&body[from..end]);
            from = end;
        }
        Self { message: Rc::clone(message), pieces, length: at + END.len() }
    }

    pub(super) fn message(&self) -> &Rc<Message> {
        &self.message
    }

    /// How many bytes.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// The bytes from `at` on that are in one piece, and those of the next; both empty at the end.
    pub(super) fn slices(&self, at: usize) -> (&[u8], &[u8]) {
        let next = self.pieces.partition_point(|piece| piece.at <= at);
        let (Some(index), false) = (next.checked_sub(1), at >= self.length) else {
            return (&[], &[]);
        };
        let second = if next < self.pieces.len() { self.piece(next) } else { &[] };
        (&self.piece(index)[at - self.pieces[index].at..], second)
    }

    fn piece(&self, index: usize) -> &[u8] {
        let Piece { from, at, written } = &self.pieces[index];
        written.get_or_init(|| {
            let body = &self.message.content.body;
            let next = self.pieces.get(index + 1);
            let (end, length) = next.map_or((body.len(), self.length), |next| (next.from, next.at));
            let mut out = Vec::with_capacity(length - at);
            if index == 0 {
                out.extend_from_slice(BEGIN);
            }
            write_broken(&body[*from..end], &mut out);
            if next.is_none() {
                out.extend_from_slice(END);
            }
            out.into()
        })
    }
}

/// A body, each line of it behind `data:`, and the end of the event.
pub(super) fn write_lines(body: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(BEGIN);
    write_broken(body, out);
    out.extend_from_slice(END);
}

/// A part of a body, with another `data:` wherever a line ends.
fn write_broken(part: &[u8], out: &mut Vec<u8>) {
    let mut rest = part;
    while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
        out.extend_from_slice(&rest[..end]);
        out.extend_from_slice(BREAK);
        let length = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + length..];
    }
    out.extend_from_slice(rest);
}

/// How many bytes [`write_broken`] makes of a part.
fn written_length(part: &[u8]) -> usize {
    // Counted many bytes at a time.
    let feeds = memchr::memchr_iter(b'\n', part).count();
    let returns = memchr::memchr_iter(b'\r', part).count();
    let pairs = if returns == 0 { 0 } else { memchr::memmem::find_iter(part, b"\r\n").count() };
    part.len() + (feeds + returns) * (BREAK.len() - 1) - pairs * BREAK.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Content;

    #[test]
    fn pieces_are_what_is_written_at_once_whatever_is_between_them() {
        for (period, end) in [(1, "\r\n"), (2, "\n"), (3, "\r"), (997, "\r\n"), (1 << 20, "")] {
            let line = ["x".repeat(period - 1).as_str(), end].concat();
            for length in [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5] {
                let body: Vec<u8> = line.bytes().cycle().take(length).collect();
                let mut at_once = Vec::new();
                write_lines(&body, &mut at_once);
                let content = Content { body: body.into(), ..Content::default() };
                let message = Message { time: 1, tag: 0, number: 0, sequence: 0, content };
                let lines = Lines::of(&Rc::new(message));
                assert_eq!(lines.len(), at_once.len(), "{period} {length}");
                // Steps that end within pieces, and one behind the other.
                for step in [usize::MAX, 1000 * period + 7] {
                    let mut all = Vec::new();
                    loop {
                        let (first, second) = lines.slices(all.len());
                        let room = step.min(first.len() + second.len());
                        if room == 0 {
                            break;
                        }
                        all.extend([first, second].concat().drain(..room));
                    }
                    assert!(all == at_once, "{period} {length} {step}");
                }
            }
        }
    }

    #[test]
    fn a_piece_is_written_when_it_is_sent() {
        let body = vec![b'x'; 10 * PIECE].into();
        let content = Content { body, ..Content::default() };
        let lines =
            Lines::of(&Rc::new(Message { time: 1, tag: 0, number: 0, sequence: 0, content }));
        let written = || lines.pieces.iter().filter(|one| one.written.get().is_some()).count();
        assert_eq!(written(), 0);
        let first = lines.slices(0).0.as_ptr();
        assert_eq!((written(), lines.slices(0).0.as_ptr()), (2, first));
    }
}
