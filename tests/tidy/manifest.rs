//! The manifest: every dependency has its reason.

use crate::sources::read;

#[test]
fn every_dependency_has_its_reason() {
    let manifest = read("Cargo.toml");
    let mut in_dependencies = false;
    let mut wrong = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        } else if in_dependencies && !line.is_empty() && !line.contains(" # ") {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "without a reason: {wrong:#?}");
}
