//! Header texts: checks the characters of settings that are sent in header lines, the server's name
//! and secrets. Shows no secret.

use super::problem::{Path, Problem, quoted};
use super::settings::Given;
use crate::secret::Secret;

/// Checks the value of a field.
///
/// # Errors
/// What to write instead.
pub(super) fn check_text(text: &str, path: &Path<'_>) -> Result<(), Problem> {
    let printable = text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if printable && text.trim() == text {
        return Ok(());
    }
    let what = format!(
        "{} goes into a header: write printable ASCII characters, no spaces at the ends",
        quoted(text)
    );
    Err(Problem::new(path, what))
}

/// Checks a secret, which is never shown.
///
/// # Errors
/// What to write instead.
pub(super) fn check_secret(given: Option<&Given>, path: &Path<'_>) -> Result<(), Problem> {
    match given.map(Given::secret).map(Secret::reveal) {
        Some(secret) if secret.is_empty() || !secret.bytes().all(|b| b.is_ascii_graphic()) => {
            let what = "it goes into a header: write visible ASCII characters without spaces";
            Err(Problem::new(path, what))
        }
        _ => Ok(()),
    }
}
