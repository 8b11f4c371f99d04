//! Round of chunked bodies. Where the bytes are split makes no difference, what follows the body is
//! not touched, and a reader that is slow and plain finds the same body or refuses it too.

use pushserver::http::{BodyDecoder, Framing, HttpError, ResponseFraming, is_text, is_token};

const BYTES_MAX: u64 = 1000;

/// The first byte chooses the size of the pieces.
pub fn round(data: &[u8]) {
    let Some((piece, bytes)) = data.split_first() else { return };
    let chunked = || BodyDecoder::new(Framing::Chunked, BYTES_MAX);
    let whole = chunked().and_then(|decoder| in_pieces(decoder, bytes, usize::MAX));
    let split = chunked().and_then(|decoder| in_pieces(decoder, bytes, usize::from(*piece).max(1)));
    assert_eq!(split, whole);
    let complete = match &whole {
        Ok((body, consumed, is_done)) => {
            assert!(body.len() <= 1000 && *consumed <= bytes.len());
            assert!(*is_done || *consumed == bytes.len(), "only an end leaves bytes");
            is_done.then(|| (body.clone(), *consumed))
        }
        Err(error) => {
            assert!(matches!(error.status, 400 | 413 | 431), "{error}");
            assert!(!error.message.contains(char::is_control), "{error:?}");
            None
        }
    };
    assert_eq!(complete, plainly(bytes), "the slow reader disagrees");
    if let Some((body, consumed)) = complete {
        let followed = [&bytes[..consumed], b"GET"].concat();
        let again = chunked().and_then(|decoder| in_pieces(decoder, &followed, 1));
        assert_eq!(again, Ok((body, consumed, true)), "what follows makes no difference");
    }
    by_length(*piece, bytes);
}

/// A body of known length is the bytes themselves, and one without is all there are.
fn by_length(piece: u8, bytes: &[u8]) {
    let length = u64::from(piece);
    let decoder = BodyDecoder::new(Framing::Length(length), BYTES_MAX).expect("below the limit");
    let taken = bytes.len().min(usize::from(piece));
    let is_done = taken as u64 == length;
    let decoded = in_pieces(decoder, bytes, 3).expect("a length has no framing to be wrong");
    assert_eq!(decoded, (bytes[..taken].to_vec(), taken, is_done));
    let decoder = BodyDecoder::for_response(ResponseFraming::UntilClose);
    let decoded = in_pieces(decoder, bytes, 3).expect("it has no framing at all");
    assert_eq!(decoded, (bytes.to_vec(), bytes.len(), false));
}

/// The body at the start of `bytes`, how many bytes it took, and whether it ended.
fn in_pieces(
    mut decoder: BodyDecoder,
    bytes: &[u8],
    piece: usize,
) -> Result<(Vec<u8>, usize, bool), HttpError> {
    let (mut body, mut consumed) = (Vec::new(), 0);
    for mut rest in bytes.chunks(piece) {
        while !rest.is_empty() && !decoder.is_done() {
            let decoded = decoder.decode(rest)?;
            assert!(decoded.consumed > 0, "each call gets on");
            assert_eq!(decoded.done, decoder.is_done());
            body.extend_from_slice(decoded.data);
            consumed += decoded.consumed;
            rest = &rest[decoded.consumed..];
        }
    }
    Ok((body, consumed, decoder.is_done()))
}

/// The whole body as RFC 9112 7.1 has it, read line by line; `None` if it is not whole and sound.
fn plainly(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let line = line_at(bytes, at)?;
        at += line.len() + 2;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        let size = u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()?;
        let is_short = digits <= 16 && line.len() <= 256;
        if !is_short || !extension.starts_with(b";") && !extension.is_empty() {
            return None;
        }
        if !extension.iter().copied().all(is_text) || is_quote_open(extension) {
            return None;
        }
        if size == 0 {
            break;
        }
        let left = BYTES_MAX - body.len() as u64;
        let size = usize::try_from(size).ok().filter(|size| *size as u64 <= left)?;
        body.extend_from_slice(bytes.get(at..at + size)?);
        at += size;
        if bytes.get(at..at + 2)? != b"\r\n" {
            return None;
        }
        at += 2;
    }
    let trailer = at;
    loop {
        let line = line_at(bytes, at)?;
        at += line.len() + 2;
        if line.is_empty() {
            return (at - 2 - trailer <= 8192).then_some((body, at));
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return None;
        }
        if !value.iter().copied().all(is_text) {
            return None;
        }
    }
}

/// The line that begins there, without its CRLF.
fn line_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let rest = &bytes[at..];
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some(&rest[..end])
}

/// Whether a quoted string has no end.
fn is_quote_open(extension: &[u8]) -> bool {
    let (mut is_open, mut is_escaped) = (false, false);
    for byte in extension {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_open => is_escaped = true,
            b'"' => is_open = !is_open,
            _ => {}
        }
    }
    is_open
}
