//! What the access log, and other log lines, say of a client. Pure.

use std::net::IpAddr;

/// What the access log says of bytes that cannot be read as a request: the method and the path that
/// they begin with. Of anything else nothing, since it may be a secret that came too early.
pub(in crate::relay) fn resembled_request(bytes: &[u8]) -> String {
    let line = bytes.trim_ascii_start();
    let end = line.iter().position(|byte| b"\r\n?".contains(byte)).unwrap_or(line.len());
    let mut words = line[..end].splitn(3, |byte| *byte == b' ');
    match (words.next(), words.next()) {
        (Some(method), Some(path)) if is_method(method) && path.starts_with(b"/") => {
            let path = &path[..path.len().min(PATH_BYTES_SHOWN)];
            format!("{} {}", method.escape_ascii(), path.escape_ascii())
        }
        _ => "-".to_owned(),
    }
}

fn is_method(word: &[u8]) -> bool {
    (1..=METHOD_BYTES_SHOWN).contains(&word.len()) && word.iter().all(u8::is_ascii_alphabetic)
}

const METHOD_BYTES_SHOWN: usize = 20;
const PATH_BYTES_SHOWN: usize = 200;

/// A client's address as log lines show it.
pub(in crate::relay) fn shown_peer(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string())
}
