//! Inspector: the page that shows what happens, and what its answer says of it. Holds no data.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The page, with its one style and its one script.
pub(super) const PAGE: &str = include_str!("inspector/page.html");

/// Header lines of its answer. Nothing else than the script and the style that stand in it runs:
/// they are known by their hashes.
pub(super) static LINES: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let mut lines = "Content-Security-Policy: default-src 'none'".to_owned();
    for (directive, tag) in [("script-src", "script"), ("style-src", "style")] {
        let hash = STANDARD.encode(Sha256::digest(content(PAGE, tag)));
        let _ = write!(lines, "; {directive} 'sha256-{hash}'");
    }
    lines.push_str(
        "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: \
         no-referrer\r\n",
    );
    lines.into_bytes().into()
});

/// What stands between the tags of the one element of this name; empty where there is none.
fn content<'p>(page: &'p str, tag: &str) -> &'p str {
    let rest = page.split_once(&format!("<{tag}>")).map_or("", |(_, rest)| rest);
    rest.split_once(&format!("</{tag}>")).map_or("", |(content, _)| content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_script_and_one_style_and_loads_nothing() {
        for tag in ["script", "style"] {
            assert_eq!(PAGE.matches(&format!("<{tag}")).count(), 1, "{tag}");
            assert!(content(PAGE, tag).len() > 100, "{tag}");
        }
        assert!(PAGE.len() <= 40 << 10, "{} bytes", PAGE.len());
        for word in [" src=", " href=\"http", "@import", "innerHTML", "insertAdjacent", " onclick="]
        {
            assert!(!PAGE.contains(word), "{word}");
        }
        assert!(PAGE.match_indices(" style=\"").next().is_none());
        let lines = String::from_utf8(LINES.to_vec()).unwrap();
        assert!(!lines.contains("unsafe") && lines.matches("'sha256-").count() == 2, "{lines}");
    }
}
