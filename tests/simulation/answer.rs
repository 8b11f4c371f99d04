//! Reads an answer as a strict client would.

/// One answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The one answer that `bytes` are.
    ///
    /// # Panics
    /// If they are anything else.
    pub(crate) fn read(bytes: &[u8], is_head: bool) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&bytes[..end]).expect("a head of ASCII");
        let mut lines = head.split("\r\n");
        let mut start = lines.next().expect("a status line").splitn(3, ' ');
        assert_eq!(start.next(), Some("HTTP/1.1"));
        let status = start.next().expect("a status").parse().expect("a number");
        let headers: Vec<(String, String)> = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").expect("a header line");
                assert!(!value.contains(['\r', '\n']), "a stray line end in {line:?}");
                (name.to_ascii_lowercase(), value.to_owned())
            })
            .collect();
        let answer = Self { status, headers, body: bytes[end + 4..].to_vec() };
        let length = answer.header("content-length").map(|text| text.parse().expect("a length"));
        match (status, length) {
            (100 | 204 | 304, length) => {
                assert!(length.is_none_or(|length: usize| length == 0));
                assert!(answer.body.is_empty(), "{status} has a body");
            }
            (_, Some(_)) if is_head => assert!(answer.body.is_empty(), "HEAD with a body"),
            (_, Some(length)) => assert_eq!(answer.body.len(), length, "Content-Length is wrong"),
            (_, None) => panic!("{status} without Content-Length"),
        }
        assert!(status == 100 || answer.header("date").is_some(), "no Date");
        answer
    }

    /// The value of a header that may occur once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.0 == name);
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} twice");
        Some(&value.1)
    }
}
