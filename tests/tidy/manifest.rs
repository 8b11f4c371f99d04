//! Manifests: every dependency has its reason.

use crate::sources::{files, root};

#[test]
fn every_dependency_has_its_reason() {
    let mut wrong = Vec::new();
    let inner =
        files(&root().join("crates")).into_iter().filter(|path| path.ends_with("Cargo.toml"));
    for path in inner.chain([root().join("Cargo.toml")]) {
        let manifest = std::fs::read_to_string(&path).expect("it is UTF-8");
        let mut in_dependencies = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                // The workspace's only say which version; who uses one says why.
                in_dependencies =
                    line.contains("dependencies") && line != "[workspace.dependencies]";
            } else if in_dependencies && !line.is_empty() && !line.contains(" # ") {
                wrong.push(format!("{}: {line}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "without a reason: {wrong:#?}");
}
