//! The sources, as the rules read them.

use std::fs;
use std::path::{Path, PathBuf};

/// One file.
pub(crate) struct Source {
    /// From the repository's root.
    pub(crate) path: String,
    /// Of a file of `src`, the first part of its path there.
    pub(crate) module: String,
    /// Without comments and tests; lines keep their numbers.
    pub(crate) code: String,
}

/// The server's own files, but for the library's root, which only names the modules.
pub(crate) fn sources() -> Vec<Source> {
    let all: Vec<Source> =
        below("src").into_iter().filter(|source| source.path != "src/lib.rs").collect();
    assert!(all.len() > 20, "the sources were found");
    all
}

/// All code but tests: the server's, that of the other crates, benches.
pub(crate) fn all_sources() -> Vec<Source> {
    ["src", "crates", "benches"].into_iter().flat_map(below).collect()
}

/// The code below a folder.
pub(crate) fn below(folder: &str) -> Vec<Source> {
    files(&root().join(folder)).into_iter().filter(|path| is_rust(path)).map(source).collect()
}

fn source(path: PathBuf) -> Source {
    let path =
        path.strip_prefix(root()).expect("below the root").to_str().expect("ASCII").to_owned();
    let inside = path.strip_prefix("src/").unwrap_or_default();
    let module = inside.split(['/', '.']).next().expect("a name").to_owned();
    let text = read(&path);
    let is_test = path.ends_with("/tests.rs");
    let code = if is_test { String::new() } else { without_tests(&text) };
    Source { path, module, code }
}

pub(crate) fn without_tests(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines().take_while(|line| *line != "#[cfg(test)]") {
        let comment = line.trim_start().starts_with("//");
        code += if comment { "" } else { line.split(" // ").next().unwrap_or(line) };
        code.push('\n');
    }
    code
}

pub(crate) fn name(path: &str) -> String {
    path.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect()
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

/// Every file below a folder; none if there is no such folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}
