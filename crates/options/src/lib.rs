//! Options: the table of a command's options. The parser looks names up in it; `--help`, the manual
//! page and the completions of shells are made from it (`tests/manual`). Parses nothing.
//!
//! The API is for this repository only.

#![forbid(unsafe_code)]

/// The options of a command and what `--help` says around them.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// What `--help` begins with: what the command is for, and how it is called.
    pub head: &'static str,
    /// What may stand in the first place instead of an option, and the heading of these words.
    pub words: (&'static str, &'static [Word]),
    /// All options, in the order of `--help`.
    pub groups: &'static [Group],
    /// What `--help` ends with.
    pub foot: &'static str,
}

/// An argument that is no option, such as the name of a subcommand.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// As it is typed.
    pub name: &'static str,
    /// What it stands for, without a full stop.
    pub text: &'static str,
}

/// Options that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Their heading.
    pub title: &'static str,
    /// The options.
    pub entries: &'static [Entry],
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name behind `--`. Each option has one, and the parser knows an option by it.
    pub long: &'static str,
    /// The letter behind `-`.
    pub short: Option<char>,
    /// What follows it.
    pub value: Value,
    /// Whether it adds up when it is given several times. Of others the last one counts.
    pub adds_up: bool,
    /// What it does, without a full stop. Up to the first semicolon it makes sense alone:
    /// completions show so much.
    pub text: &'static str,
}

/// The value of an option.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// It has none.
    None,
    /// Any text, by this name.
    Text(&'static str),
    /// The path of a file, by this name.
    File(&'static str),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

impl Table {
    /// Every option.
    pub fn entries(&self) -> impl Iterator<Item = &'static Entry> + use<> {
        self.groups.iter().flat_map(|group| group.entries)
    }

    /// The option whose name behind `--` this is.
    #[must_use]
    pub fn long(&self, name: &str) -> Option<&'static Entry> {
        self.entries().find(|entry| entry.long == name)
    }

    /// The option whose letter behind `-` this is.
    #[must_use]
    pub fn short(&self, letter: char) -> Option<&'static Entry> {
        self.entries().find(|entry| entry.short == Some(letter))
    }

    /// The text of `--help`.
    #[must_use]
    pub fn help(&self) -> String {
        let mut help = self.head.to_owned();
        let (title, words) = self.words;
        if !words.is_empty() {
            help.push_str(&format!("\n{title}:\n"));
        }
        for word in words {
            row(&mut help, &format!("  {}", word.name), word.text);
        }
        for group in self.groups {
            help.push_str(&format!("\n{}:\n", group.title));
            for entry in group.entries {
                row(&mut help, &entry.label(), entry.text);
            }
        }
        help.push('\n');
        help.push_str(self.foot);
        help
    }
}

impl Entry {
    /// An option without a value.
    #[must_use]
    pub const fn flag(long: &'static str, text: &'static str) -> Self {
        Self::with(long, Value::None, text)
    }

    /// An option with a value.
    #[must_use]
    pub const fn with(long: &'static str, value: Value, text: &'static str) -> Self {
        Self { long, short: None, value, adds_up: false, text }
    }

    /// It has this letter, too.
    #[must_use]
    pub const fn letter(self, letter: char) -> Self {
        Self { short: Some(letter), ..self }
    }

    /// It may be given several times.
    #[must_use]
    pub const fn adding_up(self) -> Self {
        Self { adds_up: true, ..self }
    }

    /// As `--help` shows it: `  -c, --config FILE`.
    fn label(&self) -> String {
        let short = self.short.map_or("    ".to_owned(), |letter| format!("-{letter}, "));
        let value = self.value.name();
        let space = if value.is_empty() { "" } else { " " };
        format!("  {short}--{}{space}{value}", self.long)
    }
}

impl Value {
    /// As `--help` and the manual page show it; empty without a value.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Text(name) | Self::File(name) => (*name).to_owned(),
            Self::OneOf(words) => words.join("|"),
        }
    }
}

/// Where the texts begin, and where their lines end at the latest.
const TEXT_COLUMN: usize = 25;
const COLUMNS: usize = 80;

/// Adds a label and its text, in lines that fit a terminal.
fn row(help: &mut String, label: &str, text: &str) {
    let mut line = label.to_owned();
    if label.chars().count() + 2 > TEXT_COLUMN {
        help.push_str(&line);
        help.push('\n');
        line.clear();
    }
    line = format!("{line:TEXT_COLUMN$}");
    let mut is_begun = false;
    for word in text.split(' ') {
        if is_begun && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            help.push_str(&line);
            help.push('\n');
            line = " ".repeat(TEXT_COLUMN);
            is_begun = false;
        }
        if is_begun {
            line.push(' ');
        }
        line.push_str(word);
        is_begun = true;
    }
    help.push_str(&line);
    help.push('\n');
}

#[cfg(test)]
mod tests {
    use super::{Entry, Group, Table, Value, Word};

    const TABLE: Table = Table {
        head: "It tests.\n",
        words: ("Modes", &[Word { name: "fast", text: "in no time" }]),
        groups: &[Group {
            title: "Output",
            entries: &[
                Entry::flag("quiet", "Say nothing").letter('q'),
                Entry::with(
                    "a-name-of-some-length",
                    Value::OneOf(&["a", "b"]),
                    "A text that needs more than the one line that there is for it; it goes on",
                ),
            ],
        }],
        foot: "The end.\n",
    };

    #[test]
    fn help_fits_a_terminal() {
        let expected = "\
It tests.

Modes:
  fast                   in no time

Output:
  -q, --quiet            Say nothing
      --a-name-of-some-length a|b
                         A text that needs more than the one line that there is
                         for it; it goes on

The end.
";
        assert_eq!(TABLE.help(), expected);
    }

    #[test]
    fn an_option_is_found_by_either_name() {
        let found = |entry: Option<&'static Entry>| entry.map(|entry| entry.long);
        assert_eq!(found(TABLE.long("quiet")), Some("quiet"));
        assert_eq!(found(TABLE.short('q')), Some("quiet"));
        assert_eq!((found(TABLE.long("q")), found(TABLE.short('x'))), (None, None));
    }
}
