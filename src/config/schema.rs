//! Schema: checks a JSON value against `schema.json`, which alone has the keys, types, bounds,
//! defaults and descriptions, and fills in the defaults. Never judges keys together; `build` does.
//!
//! Implements the part of JSON Schema 2020-12 that the file uses, with messages for people.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::problem::{Path, Problem, found, listed, quoted};
use crate::nearest::nearest;

/// The JSON Schema of the settings, with descriptions and defaults.
pub const TEXT: &str = include_str!("schema.json");

/// Keys of a memory store that a redis store has no use for, each with who has one.
const OF_REDIS_ITSELF: [(&str, &str); 3] = [
    (
        "max_memory",
        "not for a redis store: set maxmemory in redis.conf; \"cache\" bounds what this daemon \
         keeps of it",
    ),
    ("persist", "not for a redis store: set appendonly in redis.conf"),
    ("persist_sync", "not for a redis store: set appendfsync in redis.conf"),
];
const OF_A_REDIS_STORE: &str = "a store of type \"redis\"";

/// Checks the settings against the schema and adds the default of each key that is not there.
///
/// # Errors
/// The first thing that the schema does not allow.
pub(super) fn fill(settings: &mut Value) -> Result<(), Problem> {
    let schema = Schema { root: serde_json::from_str(TEXT).expect("schema.json is JSON") };
    schema.check(settings, &schema.root, &Path::Root)
}

/// Keys whose values are shown to nobody.
const SECRETS: [&str; 5] =
    ["secret", "passthrough_secret", "allrequests_secret", "password", "signing_keys"];

struct Schema {
    root: Value,
}

impl Schema {
    /// `given` is a part of the schema, or all of it.
    fn check(&self, value: &mut Value, given: &Value, path: &Path<'_>) -> Result<(), Problem> {
        let rule = self.choose(value, given, path)?;
        if let Some(allowed) = rule["enum"].as_array() {
            // What stands in quotes may be meant as what is no string.
            return one_of(value, allowed, path).map_err(|problem| match bare(value) {
                Some(bare) if self.fits(&bare, given) => self.unfit(value, given, path),
                _ => problem,
            });
        }
        let fits = match kind(rule) {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" if kind_of(value) != "integer" => false,
            "integer" | "number" => value.as_f64().is_some_and(|n| within(n, rule)),
            "array" => value.is_array(),
            "object" => value.is_object(),
            // `const`: compared when the rule was chosen.
            _ => true,
        };
        if !fits {
            return Err(self.unfit(value, given, path));
        }
        match value {
            Value::Array(list) => self.list(list, rule, path),
            Value::Object(object) => self.object(object, rule, path),
            _ => Ok(()),
        }
    }

    fn list(&self, list: &mut [Value], rule: &Value, path: &Path<'_>) -> Result<(), Problem> {
        if list.is_empty() && rule["minItems"] == 1 {
            let what = "the list is empty; leave the key out for the default";
            return Err(Problem::new(path, what));
        }
        for (index, item) in list.iter_mut().enumerate() {
            self.check(item, &rule["items"], &path.index(index))?;
        }
        if rule["uniqueItems"] == true
            && let Some(again) = (1..list.len()).find(|at| list[..*at].contains(&list[*at]))
        {
            let what = format!("{} stands in the list twice", list[again]);
            return Err(Problem::new(&path.index(again), what));
        }
        Ok(())
    }

    fn object(
        &self,
        object: &mut Map<String, Value>,
        rule: &Value,
        path: &Path<'_>,
    ) -> Result<(), Problem> {
        let Some(keys) = rule["properties"].as_object() else {
            // Free names, each with a value of one kind.
            for (name, value) in object {
                self.check(value, &rule["additionalProperties"], &path.key(name))?;
            }
            return Ok(());
        };
        // The type first: it decides which keys are known.
        if let (Some(value), Some(rule)) = (object.get_mut("type"), keys.get("type")) {
            self.check(value, rule, &path.key("type"))?;
        }
        if let Some(unknown) = object.keys().find(|key| !keys.contains_key(*key)) {
            return Err(match self.of_another_store(unknown, rule) {
                Some(what) => Problem::new(&path.key(unknown), what),
                None => self.unknown(unknown, keys.keys(), path),
            });
        }
        for (key, rule) in keys {
            let path = path.key(key);
            match object.get_mut(key) {
                Some(value) => self.check(value, rule, &path)?,
                None => {
                    if let Some(mut value) = self.default(rule).cloned() {
                        self.check(&mut value, rule, &path)?;
                        object.insert(key.clone(), value);
                    }
                }
            }
        }
        let required = rule["required"].as_array().into_iter().flatten();
        match required.filter_map(Value::as_str).find(|key| !object.contains_key(*key)) {
            Some(key) => {
                let what = format!("missing; expected {}", self.wanted(&keys[key]));
                Err(Problem::new(&path.key(key), what))
            }
            None => Ok(()),
        }
    }

    /// Follows references, and picks the alternative that the value means to be.
    fn choose<'s>(
        &'s self,
        value: &Value,
        rule: &'s Value,
        path: &Path<'_>,
    ) -> Result<&'s Value, Problem> {
        let rule = self.resolve(rule);
        let alternatives = self.alternatives(rule);
        if alternatives.is_empty() {
            return Ok(rule);
        }
        let fitting: Vec<_> =
            alternatives.into_iter().filter(|rule| kind(rule) == kind_of(value)).collect();
        match (fitting.as_slice(), value) {
            ([], _) => Err(self.unfit(value, rule, path)),
            ([only], _) => Ok(only),
            (several, Value::Object(object)) => self.choose_object(object, several, path),
            ([first, ..], _) => Ok(first),
        }
    }

    fn choose_object<'s>(
        &self,
        object: &Map<String, Value>,
        rules: &[&'s Value],
        path: &Path<'_>,
    ) -> Result<&'s Value, Problem> {
        // One store, or several by name: only the values of a mapping are objects.
        if let Some(mapping) = rules.iter().find(|rule| rule["additionalProperties"].is_object())
            && object.values().any(Value::is_object)
            && !object.get("type").is_some_and(Value::is_string)
        {
            return Ok(mapping);
        }
        // Stores and locations: by `type`.
        let rules: Vec<_> = rules.iter().filter(|rule| rule["properties"].is_object()).collect();
        let type_of = |rule: &Value| rule["properties"]["type"]["const"].clone();
        let types: Vec<Value> = rules.iter().map(|rule| type_of(rule)).collect();
        if let Some(given) = object.get("type") {
            one_of(given, &types, &path.key("type"))?;
            let meant = rules.iter().find(|rule| type_of(rule) == *given);
            return Ok(meant.unwrap_or(&rules[0]));
        }
        let has_default = |rule: &Value| rule["properties"]["type"]["default"].is_string();
        if let Some(default) = rules.iter().find(|rule| has_default(rule)) {
            return Ok(default);
        }
        // Without a type, report first a key with a typo, which may be the type's.
        let keys = rules.iter().filter_map(|rule| rule["properties"].as_object());
        let keys: BTreeSet<&String> = keys.flat_map(Map::keys).collect();
        if let Some(unknown) = object.keys().find(|key| !keys.contains(key)) {
            return Err(self.unknown(unknown, keys, path));
        }
        Err(Problem::new(&path.key("type"), format!("missing; expected {}", choice(&types))))
    }

    /// What is to be said of a key that only stores of another type than this rule's have.
    fn of_another_store(&self, key: &str, rule: &Value) -> Option<String> {
        match rule["properties"]["type"]["const"].as_str()? {
            "memory" => {
                self.root["$defs"]["redis_store"]["properties"].get(key)?;
                Some(format!("unknown key here; it belongs to {OF_A_REDIS_STORE}"))
            }
            "redis" => {
                let (_, what) = OF_REDIS_ITSELF.iter().find(|(other, _)| *other == key)?;
                Some((*what).to_owned())
            }
            _ => None,
        }
    }

    fn unknown<'k>(
        &self,
        key: &str,
        known: impl IntoIterator<Item = &'k String>,
        path: &Path<'_>,
    ) -> Problem {
        let known: Vec<String> = known.into_iter().cloned().collect();
        let homes = [
            ("the top level", &self.root),
            ("\"store\"", &self.root["$defs"]["memory_store"]),
            ("\"limits\"", &self.root["properties"]["limits"]),
            ("a subscriber location", &self.root["$defs"]["subscriber"]),
            ("a publisher location", &self.root["$defs"]["publisher"]),
            (OF_A_REDIS_STORE, &self.root["$defs"]["redis_store"]),
        ];
        let home = homes.iter().find(|(_, rule)| rule["properties"].get(key).is_some());
        let what = match (home, nearest(key, known.iter().map(String::as_str))) {
            (Some((home, _)), _) => format!("unknown key here; it belongs to {home}"),
            (None, Some(near)) => format!("unknown key; did you mean {}?", quoted(near)),
            (None, None) => format!("unknown key; known are {}", listed(&known, "and")),
        };
        // What stands in the place of a secret may be one, even as a key.
        if is_secret(path) { Problem::new(path, what) } else { Problem::new(&path.key(key), what) }
    }

    fn unfit(&self, value: &Value, rule: &Value, path: &Path<'_>) -> Problem {
        let mut what = format!("expected {}", self.wanted(rule));
        // A secret is not shown, even if it is a number by mistake.
        if !is_secret(path) {
            what.push_str(&format!(", found {}", found(value)));
        }
        if bare(value).is_some_and(|bare| self.fits(&bare, rule)) {
            what.push_str("; write it without quotes");
        }
        if value.as_f64() == Some(0.0) && matches!(path, Path::Key(Path::Key(_, "limits"), _)) {
            what.push_str("; 0 never means no limit here");
        }
        Problem::new(path, what)
    }

    /// Whether a value is of the kind that the rule, or one of its alternatives, asks for.
    fn fits(&self, value: &Value, rule: &Value) -> bool {
        let rule = self.resolve(rule);
        let several = self.alternatives(rule).into_iter().chain([rule]);
        several.into_iter().any(|rule| kind(rule).contains(kind_of(value)))
    }

    /// What the rule allows, with an example.
    fn wanted(&self, rule: &Value) -> String {
        let expected = self.expected(rule);
        match self.example(rule) {
            Some(example) => format!("{expected} (for example {example})"),
            None => expected,
        }
    }

    /// What the rule allows, in words.
    fn expected(&self, rule: &Value) -> String {
        let rule = self.resolve(rule);
        let alternatives = self.alternatives(rule);
        if !alternatives.is_empty() {
            let mut words: Vec<_> = alternatives.iter().map(|rule| self.expected(rule)).collect();
            words.dedup();
            return listed(&words, "or");
        }
        if let Some(allowed) = rule["enum"].as_array() {
            return choice(allowed);
        }
        match kind(rule) {
            "string" => "a string".to_owned(),
            "boolean" => "true or false".to_owned(),
            "integer" => format!("a whole number from {} to {}", rule["minimum"], rule["maximum"]),
            "number" if rule["minimum"].is_number() => {
                format!("a number of seconds from {} to {}", rule["minimum"], rule["maximum"])
            }
            "number" => format!(
                "a number of seconds above {} and at most {}",
                rule["exclusiveMinimum"], rule["maximum"]
            ),
            "array" => "a list".to_owned(),
            _ => "an object".to_owned(),
        }
    }

    fn example<'s>(&'s self, rule: &'s Value) -> Option<&'s Value> {
        let resolved = self.resolve(rule);
        let own = |rule: &'s Value| rule["examples"].get(0);
        own(rule)
            .or_else(|| self.default(rule))
            .or_else(|| own(resolved))
            .or_else(|| self.alternatives(resolved).into_iter().find_map(own))
            .filter(|example| !example.is_boolean() && **example != "")
    }

    fn default<'s>(&'s self, rule: &'s Value) -> Option<&'s Value> {
        rule.get("default").or_else(|| self.resolve(rule).get("default"))
    }

    fn alternatives<'s>(&'s self, rule: &'s Value) -> Vec<&'s Value> {
        // Beside a `type`, `anyOf` names keys of which one is required; `build` checks those.
        if rule.get("type").is_some() {
            return Vec::new();
        }
        let several = rule["anyOf"].as_array().or_else(|| rule["oneOf"].as_array());
        let several = several.into_iter().flatten().map(|rule| self.resolve(rule));
        let within = |rule| match self.alternatives(rule) {
            none if none.is_empty() => vec![rule],
            some => some,
        };
        several.flat_map(within).collect()
    }

    fn resolve<'s>(&'s self, rule: &'s Value) -> &'s Value {
        match rule["$ref"].as_str().and_then(|name| name.strip_prefix('#')) {
            Some(name) => {
                let rule = self.root.pointer(name);
                self.resolve(rule.expect("references of schema.json lead somewhere"))
            }
            None => rule,
        }
    }
}

/// Whether a secret, or one of a list of them, stands here.
fn is_secret(path: &Path<'_>) -> bool {
    match path {
        Path::Index(Path::Key(_, key), _) | Path::Key(_, key) => SECRETS.contains(key),
        _ => false,
    }
}

/// What a string would be without its quotes.
fn bare(value: &Value) -> Option<Value> {
    serde_json::from_str(value.as_str()?).ok()
}

fn one_of(value: &Value, allowed: &[Value], path: &Path<'_>) -> Result<(), Problem> {
    if allowed.contains(value) {
        return Ok(());
    }
    let word = value.as_str();
    let expected = choice(allowed);
    let near = word.and_then(|word| nearest(word, allowed.iter().filter_map(Value::as_str)));
    let what = match (word, near) {
        (Some(word), Some(near)) => {
            let (word, near) = (quoted(word), quoted(near));
            format!("expected {expected}, found {word}; did you mean {near}?")
        }
        _ => format!("expected {expected}, found {}", found(value)),
    };
    Err(Problem::new(path, what))
}

fn choice(allowed: &[Value]) -> String {
    listed(&allowed.iter().map(Value::to_string).collect::<Vec<_>>(), "or")
}

fn kind(rule: &Value) -> &str {
    rule["type"].as_str().unwrap_or_default()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Every bound of schema.json is below 2^53, so a comparison as `f64` is exact where it matters.
fn within(number: f64, rule: &Value) -> bool {
    let bound = |name: &str| rule[name].as_f64();
    bound("minimum").is_none_or(|least| number >= least)
        && bound("exclusiveMinimum").is_none_or(|least| number > least)
        && bound("maximum").is_none_or(|most| number <= most)
}
