//! Write: commands as a server reads them, each an array of words. Knows no command.

/// Writes the beginning of a command of so many words.
pub fn write_head(words: usize, out: &mut Vec<u8>) {
    write_line(b'*', words as u64, out);
}

/// Writes a word of a command.
pub fn write_word(word: &[u8], out: &mut Vec<u8>) {
    write_pieces(&[word], out);
}

/// Writes a word of a command that stands in pieces.
pub(in crate::store::redis) fn write_pieces(pieces: &[&[u8]], out: &mut Vec<u8>) {
    let length: usize = pieces.iter().map(|piece| piece.len()).sum();
    if length == 0 {
        return out.extend_from_slice(b"$0\r\n\r\n");
    }
    out.reserve(length + 16);
    write_line(b'$', length as u64, out);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a word of a command that is a number, in one piece.
pub(in crate::store::redis) fn write_number(number: u64, out: &mut Vec<u8>) {
    // A kind, two digits, a line's end; then the number and its line's end.
    let mut word = [0; 5 + DIGITS.len() + 2];
    let (room, end) = word.split_at_mut(5 + DIGITS.len());
    end.copy_from_slice(b"\r\n");
    let begin = room.len() - digits(number, &mut room[5..]).len();
    let length = (room.len() - begin) as u8;
    room[begin - 2..begin].copy_from_slice(b"\r\n");
    room[begin - 3] = b'0' + length % 10;
    let mut first = begin - 4;
    if length >= 10 {
        room[first] = b'0' + length / 10;
        first -= 1;
    }
    room[first] = b'$';
    out.extend_from_slice(&word[first..]);
}

fn write_line(kind: u8, number: u64, out: &mut Vec<u8>) {
    // As most words are: two divisions and a copy of any length fewer.
    if number < 10 {
        return out.extend_from_slice(&[kind, b'0' + number as u8, b'\r', b'\n']);
    }
    if number < 100 {
        let (ten, one) = (b'0' + number as u8 / 10, b'0' + number as u8 % 10);
        return out.extend_from_slice(&[kind, ten, one, b'\r', b'\n']);
    }
    let mut line = [0; 1 + DIGITS.len() + 2];
    let (room, end) = line.split_at_mut(1 + DIGITS.len());
    end.copy_from_slice(b"\r\n");
    let begin = room.len() - digits(number, &mut room[1..]).len() - 1;
    line[begin] = kind;
    out.extend_from_slice(&line[begin..]);
}

/// Room for [`digits`].
pub(in crate::store::redis) const DIGITS: [u8; 20] = [b'0'; 20];

/// A number in decimal, at the end of the room: a command has a dozen, and `format!` takes five
/// times as long.
pub(in crate::store::redis) fn digits(mut number: u64, room: &mut [u8]) -> &[u8] {
    let mut begin = room.len();
    loop {
        begin -= 1;
        room[begin] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &room[begin..];
        }
    }
}

/// Writes a whole command.
pub fn write_command(words: &[&[u8]], out: &mut Vec<u8>) {
    write_head(words.len(), out);
    words.iter().for_each(|word| write_word(word, out));
}
