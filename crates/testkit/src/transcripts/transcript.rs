//! Transcript: its text as steps, and answers back as text. It knows no relay and no socket.
//! How a transcript is written: `tests/transcripts/README.md`.

use pushserver::http::parse_http_date;
use serde_json::Value;

use super::part::{self, Part};
use super::text::{decode, encode, offset};
use crate::answer::Answer;

/// Where a transcript can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// On the relay alone.
    World,
    /// Over TCP.
    Tcp,
}

/// See the file.
#[derive(Debug)]
pub struct Transcript {
    /// Without `.http`.
    pub name: String,
    /// The comment at its begin, as it stands.
    header: Vec<String>,
    /// Where alone it can run.
    pub only: Option<Only>,
    /// Its bytes come in one piece.
    pub whole: bool,
    /// Laid over the default settings.
    pub settings: Value,
    /// Headers that are in answers, though every answer has them; in lower case.
    show: String,
    /// What it says of Nchan.
    pub nchan: Option<Nchan>,
    /// In order.
    pub steps: Vec<Step>,
}

/// What a transcript says of nginx with Nchan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nchan {
    /// It answers otherwise.
    Differs,
    /// It does not survive this, or has no setting for it.
    KeptAway,
}

/// One step, with its own lines.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it does or expects.
    pub action: Action,
    /// Its place in the file, from 1.
    pub line: usize,
    /// Its lines.
    pub source: Vec<String>,
}

/// What a step does or expects. Connections are one capital letter.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the README of the transcripts names what a step holds")]
pub enum Action {
    /// A comment or an empty line.
    None,
    /// The client sends.
    Send { conn: char, form: Form },
    /// The client is sent an answer, a block of an event stream or a frame of a WebSocket.
    Answer { conn: char },
    /// The server has closed the connection.
    Closed { conn: char },
    /// The client sends no more, but reads on.
    Ends { conn: char },
    /// The client closes its connection, or breaks it.
    Leaves { conn: char },
    /// Time passes until the connection has an answer or is closed.
    Wait { conn: char },
    /// Both clocks go on.
    Clock { ms: u64 },
    /// The server is told to stop.
    Stop,
    /// The wall clock is set, by so many seconds.
    Set { seconds: i64 },
    /// A channel is like this; if `wait`, after some time.
    Channel { wait: bool, name: String, state: State },
}

/// What the text of a step stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A request.
    Request,
    /// A frame of a WebSocket.
    Frame,
    /// These bytes.
    Raw,
}

/// How a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// So many requests are held on it.
    Held(u64),
    /// So many messages wait.
    Messages(u64),
    /// It is not there.
    Gone,
}

impl Transcript {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong, and in which line.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let lines: Vec<&str> = text.lines().collect();
        let header_lines = lines.iter().take_while(|line| line.starts_with('#')).count();
        let (header, rest) = lines.split_at(header_lines);
        let only = match value(header, "only") {
            None => None,
            Some(value) => Some(match value.split_once(" — ") {
                Some(("world", _)) => Only::World,
                Some(("tcp", _)) => Only::Tcp,
                _ => return Err(format!("`only: {value}` is not `world — why`, `tcp — why`")),
            }),
        };
        let nchan = match value(header, "nchan") {
            None => None,
            Some(value) => Some(match value.split_once(": ") {
                Some(("differs", _)) => Nchan::Differs,
                Some(("kept away", _)) => Nchan::KeptAway,
                _ => {
                    return Err(format!(
                        "`nchan: {value}` is not `differs: how`, `kept away: why`"
                    ));
                }
            }),
        };
        let settings = value(header, "settings").unwrap_or("{}".to_owned());
        let settings = serde_json::from_str(&settings).map_err(|e| format!("settings: {e}"))?;
        let mut steps: Vec<Step> = Vec::new();
        for (index, line) in rest.iter().enumerate() {
            if let (true, Some(step)) = (line.starts_with("    "), steps.last_mut()) {
                step.source.push((*line).to_owned());
                continue;
            }
            let number = header_lines + index + 1;
            let action = action(line).ok_or_else(|| format!("{number}: no step: {line}"))?;
            steps.push(Step { action, line: number, source: vec![(*line).to_owned()] });
        }
        let whole = value(header, "whole").is_some();
        let show = value(header, "show").unwrap_or_default();
        let header = header.iter().map(|line| (*line).to_owned()).collect();
        let name = name.to_owned();
        let transcript = Self { name, header, only, whole, settings, show, nchan, steps };
        transcript.check()
    }

    fn check(self) -> Result<Self, String> {
        let sets_clock =
            |step: &Step| matches!(step.action, Action::Clock { .. } | Action::Set { .. });
        if !self.header.first().is_some_and(|line| line.starts_with("# ") && line.len() > 20) {
            return Err("its first line does not say which rule it shows".to_owned());
        }
        if self.only != Some(Only::World) && self.steps.iter().any(sets_clock) {
            return Err("it moves the clock: `# only: world — why`".to_owned());
        }
        Ok(self)
    }

    /// The file again, with other steps.
    pub fn write(&self, steps: &[Step]) -> String {
        let lines = self.header.iter().chain(steps.iter().flat_map(|step| &step.source));
        lines.map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// The value of `# key: value`, with the lines `#   ` that go on.
fn value(header: &[&str], key: &str) -> Option<String> {
    let begin = format!("# {key}: ");
    let at = header.iter().position(|line| line.starts_with(&begin))?;
    let more = header[at + 1..].iter().take_while(|line| line.starts_with("#   "));
    let lines = [&header[at][begin.len()..]].into_iter().chain(more.map(|line| &line[4..]));
    Some(lines.collect::<Vec<_>>().join(" "))
}

fn action(line: &str) -> Option<Action> {
    if line.is_empty() || line.starts_with('#') {
        return Some(Action::None);
    }
    let mut words = line.split_whitespace();
    let conn = |word: &str| match word.as_bytes() {
        [byte @ b'A'..=b'Z'] => Some(char::from(*byte)),
        _ => None,
    };
    let first = words.next()?;
    if let Some(name) = first.strip_suffix(">>") {
        return Some(Action::Send { conn: conn(name)?, form: Form::Raw });
    }
    if let Some(name) = first.strip_suffix('>') {
        let is_frame = part::frame(after_mark(line), b"", 0).is_some();
        let form = if is_frame { Form::Frame } else { Form::Request };
        return Some(Action::Send { conn: conn(name)?, form });
    }
    if let Some(name) = first.strip_suffix('<') {
        return Some(Action::Answer { conn: conn(name)? });
    }
    let rest: Vec<&str> = words.collect();
    match (first, rest.as_slice()) {
        ("clock", ["set", by]) => {
            Some(Action::Set { seconds: by.strip_suffix('s')?.parse().ok()? })
        }
        ("clock", [by]) => {
            let by = by.strip_prefix('+')?;
            Some(Action::Clock {
                ms: match by.strip_suffix("ms") {
                    Some(ms) => ms.parse().ok()?,
                    None => by.strip_suffix('s')?.parse::<u64>().ok()? * 1000,
                },
            })
        }
        ("server", ["stops"]) => Some(Action::Stop),
        ("wait", ["channel", name, state @ ..]) => channel(true, name, state),
        ("wait", [name]) => Some(Action::Wait { conn: conn(name)? }),
        ("channel", [name, state @ ..]) => channel(false, name, state),
        (name, ["closed"]) => Some(Action::Closed { conn: conn(name)? }),
        (name, ["ends"]) => Some(Action::Ends { conn: conn(name)? }),
        (name, ["leaves"]) => Some(Action::Leaves { conn: conn(name)? }),
        _ => None,
    }
}

fn after_mark(line: &str) -> &str {
    line.split_once("> ").map_or("", |(_, text)| text)
}

fn channel(wait: bool, name: &str, state: &[&str]) -> Option<Action> {
    let state = match state {
        ["gone"] => State::Gone,
        [count, "held"] => State::Held(count.parse().ok()?),
        [count, "messages"] => State::Messages(count.parse().ok()?),
        _ => return None,
    };
    Some(Action::Channel { wait, name: name.strip_suffix(':')?.to_owned(), state })
}

impl Step {
    /// The bytes that it sends, and for each request that begins in them whether it is HEAD.
    pub fn bytes(&self, begin_unix_s: u64) -> (Vec<u8>, Vec<bool>) {
        let decode = |text: &str| decode(text, begin_unix_s);
        let Action::Send { form, .. } = self.action else { return Default::default() };
        let mut body = Vec::new();
        let mut fields = Vec::new();
        for line in &self.source[1..] {
            match line.trim_start().strip_prefix('|') {
                Some(text) => body.extend(decode(text.strip_prefix(' ').unwrap_or(text))),
                None => fields.push(decode(line.trim())),
            }
        }
        let first = after_mark(&self.source[0]);
        if form == Form::Frame {
            return (part::frame(first, &body, begin_unix_s).unwrap_or_default(), Vec::new());
        }
        if form == Form::Raw {
            let bytes = [decode(first), body].concat();
            let heads = bytes.split(|byte| *byte == b'\n').filter_map(|line| {
                let line = std::str::from_utf8(line).ok()?;
                let (method, rest) = line.trim_end().split_once(" /")?;
                rest.contains(" HTTP/1.").then_some(method.ends_with("HEAD"))
            });
            let heads = heads.collect();
            return (bytes, heads);
        }
        if !first.contains(" HTTP/1") {
            fields.insert(0, b"Host: relay".to_vec());
        }
        let framed = fields.iter().any(|field| {
            let name = field.split(|byte| *byte == b':').next().unwrap_or_default();
            [&b"content-length"[..], b"transfer-encoding"].contains(&&*name.to_ascii_lowercase())
        });
        if self.source[1..].iter().any(|line| line.trim_start().starts_with('|')) && !framed {
            fields.push(format!("Content-Length: {}", body.len()).into_bytes());
        }
        let version = if first.contains(" HTTP/1") { "" } else { " HTTP/1.1" };
        let mut bytes = [&decode(first), version.as_bytes(), b"\r\n"].concat();
        for field in fields {
            bytes.extend(field);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        (bytes, vec![first.starts_with("HEAD ")])
    }
}

impl Transcript {
    /// What a connection was sent, as a transcript has it.
    pub fn render(&self, conn: char, part: &Part, begin_unix_s: u64) -> Vec<String> {
        if let Part::Answer(answer) = part {
            return self.render_answer(conn, answer, begin_unix_s);
        }
        let mut lines = part.lines(begin_unix_s);
        lines[0].insert_str(0, &format!("{conn}< "));
        lines
    }

    fn render_answer(&self, conn: char, answer: &Answer, begin_unix_s: u64) -> Vec<String> {
        let mut lines = vec![format!("{conn}< {}", answer.status_line())];
        for (name, value) in answer.fields() {
            let lower = name.to_ascii_lowercase();
            if matches!(lower.as_str(), "server" | "date") && !self.show.contains(&lower) {
                continue;
            }
            let value = match parse_http_date(value.as_bytes()) {
                Some(unix_s) => offset(unix_s, begin_unix_s)
                    .map_or(value.to_owned(), |offset| format!("{{T{offset}}}")),
                None => encode(value.as_bytes(), begin_unix_s),
            };
            lines.push(format!("    {name}: {value}"));
        }
        let body = answer.body.split_inclusive(|byte| *byte == b'\n');
        lines.extend(body.map(|line| format!("    | {}", encode(line, begin_unix_s))));
        lines
    }
}
