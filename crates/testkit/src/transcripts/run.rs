//! Run: one transcript against one target, and where they differ.

use std::collections::{HashMap, VecDeque};

use crate::answer::Answer;
use crate::transcripts::part::{Part, Talk};
use crate::transcripts::targets::Target;
use crate::transcripts::transcript::{Action, Step, Transcript};

/// Runs every step.
///
/// # Errors
/// The first difference, with the line of the step.
pub fn check(transcript: &Transcript, target: &mut dyn Target) -> Result<(), String> {
    let mut run = Run::new(transcript, target);
    for step in &transcript.steps {
        let located = |what: String| format!("{}: {what}", step.line);
        match run.step(step).map_err(located)? {
            None => {}
            Some(actual) if actual == trimmed(&step.source) => {}
            Some(actual) => {
                let (actual, wanted) = (actual.join("\n"), step.source.join("\n"));
                return Err(located(format!("wanted\n{wanted}\nbut got\n{actual}")));
            }
        }
    }
    run.finish()
}

/// Runs every step and gives all differences, each with the line of its step. Answers are made
/// `comparable` first. It goes on behind them, but not behind what never came.
pub fn differences(
    transcript: &Transcript,
    target: &mut dyn Target,
    comparable: fn(&[String]) -> Vec<String>,
) -> Vec<String> {
    let mut run = Run::new(transcript, target);
    let mut all = Vec::new();
    for step in &transcript.steps {
        let line = step.line;
        match run.step(step) {
            Ok(None) => {}
            Ok(Some(actual)) => {
                let (is, was) = (comparable(&actual), comparable(&trimmed(&step.source)));
                if is[0] != was[0] {
                    all.push(format!("{line}: {}, not {}", is[0], was[0]));
                    continue;
                }
                let less = was.iter().filter(|part| !is.contains(part));
                all.extend(less.map(|part| format!("{line}: without {part}")));
                let more = is.iter().filter(|part| !was.contains(part));
                all.extend(more.map(|part| format!("{line}: with {part}")));
            }
            Err(what) => {
                // Details may have the time in them.
                let what = what.split(['{', ':']).next().unwrap_or_default().trim_end();
                all.push(format!("{line}: {what}"));
                return all;
            }
        }
    }
    if run.finish().is_err() {
        all.push("end: more than the steps take".to_owned());
    }
    all
}

/// Runs every step and gives the steps with the answers that came.
///
/// # Errors
/// A step that cannot be done, with its line.
pub fn update(transcript: &Transcript, target: &mut dyn Target) -> Result<Vec<Step>, String> {
    let mut run = Run::new(transcript, target);
    let mut steps = Vec::new();
    for (index, step) in transcript.steps.iter().enumerate() {
        let actual = run.step(step).map_err(|what| format!("{}: {what}", step.line))?;
        let source = actual.unwrap_or_else(|| step.source.clone());
        steps.push(Step { source, ..step.clone() });
        if let Action::Answer { conn } = step.action {
            let next = transcript.steps.get(index + 1).map(|step| &step.action);
            if run.is_closed_now(conn)
                && !matches!(next, Some(Action::Closed { conn: other }) if *other == conn)
            {
                let action = Action::Closed { conn };
                steps.push(Step { action, line: 0, source: vec![format!("{conn} closed")] });
            }
        }
    }
    run.finish()?;
    Ok(steps)
}

fn trimmed(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

struct Run<'t> {
    transcript: &'t Transcript,
    target: &'t mut dyn Target,
    conns: HashMap<char, Conn>,
}

struct Conn {
    index: usize,
    /// For each request without an answer, whether it is HEAD.
    pending: VecDeque<bool>,
    talk: Talk,
    gone: bool,
}

impl<'t> Run<'t> {
    fn new(transcript: &'t Transcript, target: &'t mut dyn Target) -> Self {
        Self { transcript, target, conns: HashMap::new() }
    }

    /// The connection of this name, made if it is new.
    fn conn(&mut self, name: char) -> &mut Conn {
        let target = &mut self.target;
        self.conns.entry(name).or_insert_with(|| Conn {
            index: target.connect(),
            pending: VecDeque::new(),
            talk: Talk::Http,
            gone: false,
        })
    }

    /// Does a step; gives the lines of an answer.
    fn step(&mut self, step: &Step) -> Result<Option<Vec<String>>, String> {
        match &step.action {
            Action::None => {}
            Action::Send { conn, .. } => {
                let (bytes, heads) = step.bytes(self.target.begin_unix_s());
                let conn = self.conn(*conn);
                conn.pending.extend(heads);
                let index = conn.index;
                self.target.send(index, &bytes);
            }
            Action::Answer { conn } => return self.answer(*conn).map(Some),
            Action::Closed { conn } => {
                let index = self.conn(*conn).index;
                if !self.target.is_closed(index) {
                    return Err(format!("{conn} is open"));
                }
                self.conn(*conn).gone = true;
            }
            Action::Ends { conn } => {
                let index = self.conn(*conn).index;
                self.target.end(index);
            }
            Action::Leaves { conn } => {
                let index = self.conn(*conn).index;
                self.target.leave(index);
                self.conn(*conn).gone = true;
            }
            Action::Wait { conn } => {
                let index = self.conn(*conn).index;
                self.target.wait(index);
            }
            Action::Stop => self.target.stop(),
            Action::Clock { ms } => self.target.advance_ms(*ms),
            Action::Set { seconds } => self.target.set_clock(*seconds),
            Action::Channel { wait, name, state } => self.target.channel(name, *state, *wait)?,
        }
        Ok(None)
    }

    fn answer(&mut self, name: char) -> Result<Vec<String>, String> {
        let Conn { index, ref pending, talk, .. } = *self.conn(name);
        let to_head = pending.front().copied().unwrap_or(false);
        let begin_unix_s = self.target.begin_unix_s();
        let Some(part) = self.target.take(index, talk, to_head) else {
            return Err(format!("{name} has no answer"));
        };
        let conn = self.conn(name);
        conn.talk = talk.behind(&part);
        if let Part::Answer(answer) = &part
            && (answer.status >= 200 || answer.status == 101)
        {
            conn.pending.pop_front();
            check_every_answer(answer)?;
        }
        Ok(self.transcript.render(name, &part, begin_unix_s))
    }

    /// Whether the server has closed a connection; does not wait over TCP, so for a world only.
    fn is_closed_now(&mut self, name: char) -> bool {
        let index = self.conn(name).index;
        !self.conn(name).gone && self.target.is_closed(index)
    }

    /// Nothing may come that no step took.
    fn finish(self) -> Result<(), String> {
        for (name, conn) in &self.conns {
            let rest = self.target.finish(conn.index);
            if !rest.is_empty() {
                return Err(format!(" {name} got more: {}", rest.escape_ascii()));
            }
        }
        self.target.check();
        Ok(())
    }
}

/// What every answer has, and transcripts leave out.
fn check_every_answer(answer: &Answer) -> Result<(), String> {
    if answer.header("Date").is_none() {
        return Err(format!("no Date in the answer {}", answer.status));
    }
    Ok(())
}
