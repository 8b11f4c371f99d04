//! Paths: which file of a crate names which other ones.

use std::collections::BTreeSet;

use crate::sources::name;

/// The module of a file, as parts of its path: `src/relay/client.rs` is `relay`, `client`.
pub(crate) fn module(path: &str) -> Vec<String> {
    let inside = path.rsplit_once("src/").expect("a file of a crate").1;
    let parts = inside.trim_end_matches(".rs").split('/');
    let is_name = |part: &&str| !["mod", "lib", "main"].contains(part);
    parts.filter(is_name).map(str::to_owned).collect()
}

/// The modules of `all` that the code of `own` names by `crate::`, `self::` or `super::`.
pub(crate) fn named(
    code: &str,
    own: &[String],
    all: &BTreeSet<Vec<String>>,
) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for begin in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(begin) {
            let before = &code[..at];
            let is_part = before.ends_with(|char: char| char.is_alphanumeric() || char == '_');
            // `super::super::` is read from its first part; `pub(in crate::relay)` names nobody.
            if is_part || before.ends_with("::") || before.ends_with("pub(in ") {
                continue;
            }
            let mut paths = Vec::new();
            tree(&code[at..], &mut Vec::new(), &mut paths);
            found.extend(paths.iter().map(|path| resolve(path, own, all)));
        }
    }
    found.remove(own);
    found
}

/// Reads a path or a tree of paths; gives the length of what was read.
fn tree(code: &str, prefix: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> usize {
    let depth = prefix.len();
    let mut at = 0;
    loop {
        at += code[at..].len() - code[at..].trim_start().len();
        if code[at..].starts_with('{') {
            at += 1;
            while !code[at..].starts_with('}') && at < code.len() {
                at += tree(&code[at..], prefix, paths);
                at += code[at..].find([',', '}']).unwrap_or(0);
                at += usize::from(code[at..].starts_with(','));
                at += code[at..].len() - code[at..].trim_start().len();
            }
            at += 1;
            break;
        }
        let word = name(&code[at..]);
        at += word.len().max(usize::from(code[at..].starts_with('*')));
        prefix.push(word);
        if !code[at..].starts_with("::") {
            paths.push(prefix.clone());
            break;
        }
        at += 2;
    }
    prefix.truncate(depth);
    at
}

/// The deepest module that a path names.
fn resolve(path: &[String], own: &[String], all: &BTreeSet<Vec<String>>) -> Vec<String> {
    let mut module = own.to_vec();
    for part in path {
        match part.as_str() {
            "crate" => module.clear(),
            "self" => {}
            "super" => drop(module.pop()),
            _ => {
                module.push(part.clone());
                if !all.contains(&module) {
                    module.pop();
                    break;
                }
            }
        }
    }
    module
}

#[test]
fn paths_are_resolved_to_the_deepest_module() {
    let of = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
    let all = ["net", "relay", "relay::client", "relay::proxy", "relay::proxy::pool", "wheel"];
    let all = all.into_iter().map(of).collect();
    let code = "use super::super::{client::{self, Client}, Relay,};
        use crate::wheel::Wheel;
        pub(in crate::net) fn a() -> super::pool::Pool {}";
    let named = named(code, &of("relay::proxy"), &all);
    let named: Vec<String> = named.into_iter().map(|module| module.join("::")).collect();
    // `super::super` of `relay::proxy` is the root.
    assert_eq!(named, ["", "relay", "wheel"]);
    let named = super::paths::named(code, &of("relay::proxy::pool"), &all);
    let named: Vec<String> = named.into_iter().map(|module| module.join("::")).collect();
    assert_eq!(named, ["relay", "relay::client", "wheel"]);
}
