//! Shells: what bash, zsh and fish offer when a command line is completed.

use std::fmt::Write;

use pushserver::cli;
use pushserver_options::{Entry, Table, Value};

const MADE_BY: &str = "# Made by: UPDATE_MANUAL=1 cargo test --test manual\n";

/// What a completion says of an option: its text without details.
fn brief(entry: &Entry) -> &'static str {
    entry.text.split(';').next().unwrap_or_default()
}

fn both() -> [&'static Table; 2] {
    [&cli::OPTIONS, &pushserver_bench::OPTIONS]
}

/// The names of an option, with their hyphens.
fn names(entry: &Entry) -> Vec<String> {
    let short = entry.short.map(|letter| format!("-{letter}"));
    short.into_iter().chain([format!("--{}", entry.long)]).collect()
}

/// For bash.
pub(crate) fn bash() -> String {
    let [daemon, bench] = both().map(bash_part);
    format!(
        "# Completion of pushserver for bash.\n{MADE_BY}
_pushserver() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} option=${{COMP_WORDS[COMP_CWORD - 1]}} offered=
    # Readline takes --config=FILE for three words.
    if [[ $word == = ]]; then
        word=
    elif [[ $option == = ]]; then
        option=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    if ((COMP_CWORD == 1)) || [[ ${{COMP_WORDS[1]}} != bench ]]; then
{daemon}    else
        # bench
{bench}    fi
    mapfile -t COMPREPLY < <(compgen -W \"$offered\" -- \"$word\")
}}

complete -F _pushserver pushserver
"
    )
}

/// Says what is offered for one command, or returns with files or with nothing.
fn bash_part(table: &Table) -> String {
    let of = |wanted: fn(&Value) -> bool| -> String {
        let entries = table.entries().filter(|entry| wanted(&entry.value));
        entries.flat_map(names).collect::<Vec<_>>().join(" | ")
    };
    let mut part = String::from("        case $option in\n");
    let _ = writeln!(part, "        {})", of(|value| matches!(value, Value::File(_))));
    part.push_str(
        "            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- \"$word\")
            return
            ;;
",
    );
    let _ = writeln!(part, "        {})", of(|value| matches!(value, Value::Text(_))));
    part.push_str("            return\n            ;;\n");
    let words: Vec<&str> = table.words.1.iter().map(|word| word.name).collect();
    for entry in table.entries() {
        if let Value::OneOf(words) = entry.value {
            let (names, words) = (names(entry).join(" | "), words.join(" "));
            let _ = writeln!(part, "        {names}) offered=\"{words}\" ;;");
        }
    }
    let options: Vec<String> = table.entries().flat_map(names).collect();
    let options = options.join(" ");
    let words = words.join(" ");
    // The word of a command line comes first, and a scenario does so by custom.
    let place = if words == "bench" { 1 } else { 2 };
    let _ = writeln!(
        part,
        "        *)
            offered=\"{options} \"
            ((COMP_CWORD == {place})) && offered+=\"{words}\"
            ;;
        esac"
    );
    part
}

/// For zsh.
pub(crate) fn zsh() -> String {
    let [daemon, bench] = both().map(zsh_part);
    format!(
        "#compdef pushserver
{MADE_BY}
_pushserver() {{
  if (( CURRENT == 2 )) || [[ $words[2] != bench ]]; then
    _arguments -s -S \\
{daemon}    return
  fi
  # bench
  shift words
  (( CURRENT-- ))
  _arguments -s -S \\
{bench}}}

if [[ $funcstack[1] == _pushserver ]]; then
  _pushserver \"$@\"
else
  compdef _pushserver pushserver
fi
"
    )
}

fn zsh_part(table: &Table) -> String {
    let mut part = String::new();
    for entry in table.entries() {
        let names: Vec<String> = names(entry);
        let value = match entry.value {
            Value::None => String::new(),
            Value::Text(name) => format!(":{name}: "),
            Value::File(name) => format!(":{name}:_files"),
            Value::OneOf(words) => format!(":one of:({})", words.join(" ")),
        };
        // What follows a name with a value: `-c FILE` and `-cFILE`; `--config FILE` and
        // `--config=FILE`.
        let ends = |name: &String| match (value.is_empty(), name.starts_with("--")) {
            (true, _) => name.clone(),
            (false, true) => format!("{name}="),
            (false, false) => format!("{name}+"),
        };
        let specs: Vec<String> = names.iter().map(ends).collect();
        let begin = match (entry.adds_up, &specs[..]) {
            (true, [one]) => format!("'*'{one}"),
            (_, [one]) => one.clone(),
            _ => format!("'({})'{{{}}}", names.join(" "), specs.join(",")),
        };
        let text = quoted(brief(entry).replace(['[', ']'], ""));
        let _ = writeln!(part, "    {begin}'[{text}]{value}' \\");
    }
    let (title, words) = table.words;
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("{}\\:\"{}\"", word.name, quoted(word.text.replace(':', "\\:"))))
        .collect();
    let title = title.trim_end_matches('s').to_lowercase();
    let _ = writeln!(part, "    '1:{title}:(({}))'", words.join(" "));
    part
}

/// For a text in single quotes.
fn quoted(text: String) -> String {
    text.replace('\'', "'\\''")
}

/// For fish.
pub(crate) fn fish() -> String {
    let [daemon, bench] = both();
    let mut file = format!("# Completion of pushserver for fish.\n{MADE_BY}\n");
    file.push_str("complete -c pushserver -f\n");
    let first = "test (count (commandline -opc)) -eq 1";
    fish_part(&mut file, daemon, "not __fish_seen_subcommand_from bench", first);
    file.push_str("\n# bench\n");
    let seen = "__fish_seen_subcommand_from bench";
    let scenarios: Vec<&str> = bench.words.1.iter().map(|word| word.name).collect();
    let none = format!("{seen}; and not __fish_seen_subcommand_from {}", scenarios.join(" "));
    fish_part(&mut file, bench, seen, &none);
    file
}

fn fish_part(file: &mut String, table: &Table, options: &str, words: &str) {
    let text = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    for word in table.words.1 {
        let (name, text) = (word.name, text(word.text));
        let _ = writeln!(file, "complete -c pushserver -n '{words}' -a {name} -d '{text}'");
    }
    for entry in table.entries() {
        let short = entry.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
        let value = match entry.value {
            Value::None => String::new(),
            Value::Text(_) => " -x".to_owned(),
            Value::File(_) => " -r -F".to_owned(),
            Value::OneOf(words) => format!(" -x -a '{}'", words.join(" ")),
        };
        let (long, text) = (entry.long, text(brief(entry)));
        let _ = writeln!(
            file,
            "complete -c pushserver -n '{options}'{short} -l {long}{value} -d '{text}'"
        );
    }
}
