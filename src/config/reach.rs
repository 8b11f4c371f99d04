//! Reachability of locations: finds those that never serve a request, because earlier ones match
//! all their paths. Never refuses a location that works.
//!
//! The decision is exact: it steps the automata of all locations side by side through all possible
//! paths, instead of trying samples.

use std::collections::{BTreeSet, HashSet};

use regex_automata::nfa::thompson::{Compiler, Config, NFA, State, WhichCaptures};
use regex_automata::util::{look::Look, primitives::StateID, syntax};

use crate::relay::location::NEST_MAX;

/// Bounds time and memory: beyond it, every location counts as served.
const STEPS_MAX: usize = 500_000;

/// What happens to the paths of one location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The location serves some, or the walk took too many steps.
    Served,
    /// These earlier locations match all of them.
    Shadowed(BTreeSet<usize>),
    /// There are none.
    None,
}

/// The fate of each location; `expressions` in their order, to be matched with the whole path.
pub(super) fn fates(expressions: &[String]) -> Vec<Fate> {
    walk(expressions).unwrap_or_else(|| vec![Fate::Served; expressions.len()])
}

/// `None`: too large, or with an assertion (`\b`) that depends on more than one byte.
fn walk(expressions: &[String]) -> Option<Vec<Fate>> {
    let nfa = Compiler::new()
        .syntax(syntax::Config::new().unicode(false).utf8(false).nest_limit(NEST_MAX))
        .configure(
            Config::new()
                .utf8(false)
                .nfa_size_limit(Some(4 << 20))
                .which_captures(WhichCaptures::None),
        )
        .build_many(expressions)
        .ok()?;
    let mut fates = vec![Fate::None; expressions.len()];
    let mut steps = 0;
    let alphabet = alphabet(&nfa);
    let start = closure(&nfa, vec![nfa.start_anchored()], Some(Look::Start), &mut steps)?;
    // Every path begins with a slash.
    let mut todo = vec![step(&nfa, &start, b'/', &mut steps)?];
    let mut seen = HashSet::new();
    while let Some(states) = todo.pop() {
        if states.is_empty() || !seen.insert(states.clone()) {
            continue;
        }
        note(&nfa, &states, &mut fates, &mut steps)?;
        if fates.iter().all(|fate| *fate == Fate::Served) {
            break;
        }
        for byte in &alphabet {
            todo.push(step(&nfa, &states, *byte, &mut steps)?);
        }
    }
    Some(fates)
}

/// A path may end here: the first location that matches it serves it.
fn note(nfa: &NFA, states: &[StateID], fates: &mut [Fate], steps: &mut usize) -> Option<()> {
    let ends = closure(nfa, states.to_vec(), Some(Look::End), steps)?;
    let matching: BTreeSet<usize> = ends
        .into_iter()
        .filter_map(|id| match nfa.state(id) {
            State::Match { pattern_id } => Some(pattern_id.as_usize()),
            _ => None,
        })
        .collect();
    let Some(first) = matching.first().copied() else { return Some(()) };
    fates[first] = Fate::Served;
    for later in matching.into_iter().skip(1) {
        match &mut fates[later] {
            Fate::Served => {}
            Fate::Shadowed(by) => drop(by.insert(first)),
            fate @ Fate::None => *fate = Fate::Shadowed(BTreeSet::from([first])),
        }
    }
    Some(())
}

/// One byte of each class that no automaton tells apart, if a raw path can have it. Bytes above
/// ASCII count as possible: that can only make a location count as served.
fn alphabet(nfa: &NFA) -> Vec<u8> {
    let mut classes = HashSet::new();
    (0x21..=0xff)
        .filter(|byte| !matches!(byte, 0x7f | b'?'))
        .filter(|byte| classes.insert(nfa.byte_classes().get(*byte)))
        .collect()
}

/// The states of the automata after `byte`.
fn step(nfa: &NFA, states: &[StateID], byte: u8, steps: &mut usize) -> Option<Vec<StateID>> {
    let next = states.iter().filter_map(|id| match nfa.state(*id) {
        State::ByteRange { trans } if trans.matches_byte(byte) => Some(trans.next),
        State::Sparse(sparse) => sparse.matches_byte(byte),
        State::Dense(dense) => dense.matches_byte(byte),
        _ => None,
    });
    closure(nfa, next.collect(), None, steps)
}

/// The states themselves and all that are reached from them without a byte, sorted. `at`: what
/// matches here, `^` or `$`.
fn closure(
    nfa: &NFA,
    mut todo: Vec<StateID>,
    at: Option<Look>,
    steps: &mut usize,
) -> Option<Vec<StateID>> {
    let mut states = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if !states.insert(id) {
            continue;
        }
        *steps += 1;
        if *steps > STEPS_MAX {
            return None;
        }
        match nfa.state(id) {
            State::Union { alternates } => todo.extend(alternates.iter()),
            State::BinaryUnion { alt1, alt2 } => todo.extend([alt1, alt2]),
            State::Capture { next, .. } => todo.push(*next),
            State::Look { look, next } if Some(*look) == at => todo.push(*next),
            // A path has no line ends and is not empty, so these two never match elsewhere.
            State::Look { look: Look::Start | Look::End, .. } => {}
            State::Look { .. } => return None,
            // One that takes a byte, or an end.
            _ => {}
        }
    }
    Some(states.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::{BTreeSet, Fate, fates};

    fn fate_of_last(expressions: &[&str]) -> Fate {
        let expressions: Vec<String> = expressions.iter().map(|e| (*e).to_owned()).collect();
        fates(&expressions).pop().expect("there is one")
    }

    fn shadowed(by: &[usize]) -> Fate {
        Fate::Shadowed(BTreeSet::from_iter(by.iter().copied()))
    }

    #[test]
    fn a_narrower_location_behind_a_broader_one_is_shadowed() {
        for pair in [
            ["/u/(.+)", "/u/(.+)"],
            ["/u/(.+)", "/u/x/(.+)"],
            ["/u/(.+)", "/u/([^/]+)"],
            ["/(.+)", "/u/([0-9]{1,300})"],
            ["/u/([^/]+)", "^/u/([a-z]+)$"],
            ["/u/([^ ]+)", "/u/(.+)"],
            ["/u/(?:a|[b-z])([a-z]*)", "/u/([a-z]+)"],
        ] {
            assert_eq!(fate_of_last(&pair), shadowed(&[0]), "{pair:?}");
        }
    }

    #[test]
    fn a_location_that_one_path_can_reach_is_served() {
        for pair in [
            ["/u/x/(.+)", "/u/(.+)"],
            ["/u/([^/]+)", "/u/(.+)"],
            ["/u/([a-z]+)", "/u/([a-z]+|room-[0-9]+)"],
            ["/u/([^/]{1,64})", "/u/([^/]+)"],
            ["/u/([^/x]+)", "/u/([^/]+)"],
            ["/u/(.+)", "/u(.+)"],
            ["/u/([a-z0-9]+)", "/u/([a-zA-Z]+)"],
        ] {
            assert_eq!(fate_of_last(&pair), Fate::Served, "{pair:?}");
        }
    }

    #[test]
    fn several_locations_together_shadow_one() {
        let three = ["/u/([0-9]+)", "/u/([^0-9].*)", "/u/([a-z]+|[0-9]+)"];
        assert_eq!(fate_of_last(&three), shadowed(&[0, 1]));
    }

    #[test]
    fn an_expression_that_no_path_matches_has_no_paths() {
        for expression in ["u/(.+)", r"/u\?id=(.+)", "/u/( +)", "/a(b)^", "/a$(b)"] {
            assert_eq!(fate_of_last(&[expression]), Fate::None, "{expression}");
        }
        assert_eq!(fate_of_last(&["u?/(.+)"]), Fate::Served);
    }

    #[test]
    fn what_takes_too_long_to_decide_is_not_refused() {
        // Its deterministic automaton has 2^40 states.
        let wide = "/(?:[ab]*a[ab]{40})(c)";
        assert_eq!(fate_of_last(&[wide, "/([ab]*a[ab]{40}c)"]), Fate::Served);
        assert_eq!(fate_of_last(&[r"/\b(.+)", r"/\b(.+)"]), Fate::Served);
    }
}
