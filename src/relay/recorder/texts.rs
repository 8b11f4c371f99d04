//! Texts: a list of byte strings in one buffer, kept for its room; and how texts are cut. Knows no
//! event.

/// See the module.
#[derive(Debug, Default, Clone)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(super) fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    /// Puts two pieces there as one text.
    pub(super) fn push_pieces(&mut self, [first, second]: [&[u8]; 2]) {
        self.bytes.extend_from_slice(first);
        self.push(second);
    }

    /// The text at a place; empty behind the last.
    pub(super) fn get(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        let range = start.zip(self.ends.get(place));
        range.map_or(b"", |(start, end)| &self.bytes[start..*end])
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Of all of them together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// At most so many bytes of a text. No character of UTF-8 is cut in two.
pub(in crate::relay) fn cut(text: &[u8], bytes_max: usize) -> &[u8] {
    if text.len() <= bytes_max {
        return text;
    }
    let is_within = |at: usize| text[at] & 0xC0 == 0x80;
    let end = (bytes_max.saturating_sub(3)..=bytes_max).rev().find(|end| !is_within(*end));
    &text[..end.unwrap_or(bytes_max)]
}

/// What tells browsers apart in a `User-Agent`, in two pieces: what all of them say is left out, so
/// that their names are among the bytes that are kept. Taken of every request, so nothing is
/// copied.
pub(super) fn agent(text: &[u8]) -> [&[u8]; 2] {
    let text = text.strip_prefix(b"Mozilla/5.0 ").unwrap_or(text);
    let starts = memchr::memchr_iter(b'A', text);
    let engine = starts.map(|at| text.split_at(at)).find(|(_, rest)| rest.starts_with(ENGINE));
    let Some((before, rest)) = engine else { return [cut(text, AGENT_BYTES), b""] };
    let behind = memchr::memchr(b')', rest).map_or(rest, |end| &rest[end + 1..]);
    let before = cut(before, AGENT_BYTES);
    [before, cut(behind.trim_ascii_start(), AGENT_BYTES - before.len())]
}

/// What is left out begins so, and ends with a bracket.
const ENGINE: &[u8] = b"AppleWebKit/";

/// Of a user agent.
const AGENT_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_where_it_was_put() {
        let mut texts = Texts::default();
        for _ in 0..2 {
            texts.push(b"one");
            texts.push(b"");
            texts.push(b"three");
            let all: Vec<&[u8]> = (0..4).map(|place| texts.get(place)).collect();
            assert_eq!((all, texts.len()), (vec![&b"one"[..], b"", b"three", b""], 3));
            texts.clear();
            assert_eq!(texts.get(0), b"");
        }
    }

    #[test]
    fn no_character_is_cut_in_two() {
        let text = "aé€😀".as_bytes();
        let cuts: Vec<&[u8]> = (0..=text.len()).map(|most| cut(text, most)).collect();
        assert!(cuts.iter().all(|cut| std::str::from_utf8(cut).is_ok()));
        let lens: Vec<usize> = cuts.iter().map(|cut| cut.len()).collect();
        assert_eq!(lens, [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10]);
        assert_eq!(cut(&[0x80; 9], 5).len(), 5);
    }

    #[test]
    fn the_name_of_a_browser_is_among_what_is_kept() {
        let chrome = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like \
                       Gecko) Chrome/120.0.0.0 Safari/537.36";
        let agent = |text: &[u8]| super::agent(text).concat();
        assert_eq!(agent(chrome), b"(Windows NT 10.0; Win64; x64) Chrome/120.0.0.0 Safari/537.36");
        assert_eq!(agent(b"curl/8.0"), b"curl/8.0");
        assert_eq!(agent(b"Gecko) AppleWebKit/"), b"Gecko) AppleWebKit/");
        assert_eq!(agent(b"AppleWebKit/)"), b"");
        assert_eq!(agent(&[b'x'; 100]).len(), 64);
        assert_eq!(agent(&[&[b'x'; 60][..], b"AppleWebKit/1 (x) abcdefgh"].concat()).len(), 64);
    }
}
