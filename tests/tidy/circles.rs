//! Circles: no file imports from itself by way of others. So each can be read before those that
//! use it, and what a folder's files share has a file of its own instead of standing in `mod.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::paths::{module, named};
use crate::sources::{Source, all_sources};

#[test]
fn no_file_imports_from_itself_by_way_of_others() {
    let mut circles = BTreeMap::new();
    let sources = all_sources();
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in &sources {
        if let Some((of, _)) = source.path.split_once("src/") {
            crates.entry(of).or_default().push(source);
        }
    }
    for sources in crates.values() {
        circles.append(&mut circles_of(sources));
    }
    assert!(circles.is_empty(), "{} in a circle: {circles:#?}", circles.len());
}

/// The files of a crate that are in a circle, each with the shortest one.
fn circles_of<'s>(sources: &[&'s Source]) -> BTreeMap<&'s str, String> {
    let modules: BTreeMap<_, _> = sources
        .iter()
        // The root only names the modules.
        .filter(|source| !source.path.ends_with("src/lib.rs"))
        .map(|source| (module(&source.path), *source))
        .collect();
    let all: BTreeSet<_> = modules.keys().cloned().collect();
    let imports: BTreeMap<_, _> = modules
        .iter()
        .map(|(module, source)| (module.clone(), named(&source.code, module, &all)))
        .collect();
    modules
        .iter()
        .filter_map(|(module, source)| {
            let way = way_back(module, &imports)?;
            let way: Vec<&str> = way.iter().map(|module| &*modules[module].path).collect();
            Some((&*source.path, way.join(" -> ")))
        })
        .collect()
}

/// The shortest way from a module by imports back to itself.
fn way_back(
    from: &Vec<String>,
    imports: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>,
) -> Option<Vec<Vec<String>>> {
    let mut seen = BTreeSet::new();
    let mut ways = std::collections::VecDeque::from([vec![from.clone()]]);
    while let Some(way) = ways.pop_front() {
        for next in imports.get(&way[way.len() - 1]).into_iter().flatten() {
            if next == from {
                return Some(way);
            }
            if seen.insert(next.clone()) {
                ways.push_back(way.iter().chain([next]).cloned().collect());
            }
        }
    }
    None
}
