//! Greeting: what is said on a new connection before commands are sent, all of it at once, and
//! whether the node is one to talk to. It never keeps a password.

use std::collections::VecDeque;

use crate::store::redis::options::Options;
use crate::store::redis::reason::Reason;
use crate::store::redis::resp::{Value, write_command};

/// See the module.
#[derive(Debug)]
pub(super) struct Greeting {
    /// What is not answered yet.
    steps: VecDeque<Step>,
    greeted: Greeted,
}

/// What is known of a node at the end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Greeted {
    /// Of this run of the server; `None`: INFO is forbidden.
    pub(super) run_id: Option<Box<str>>,
    /// What its clock showed, milliseconds.
    pub(super) time_ms: u64,
    /// When that was asked on ours, milliseconds.
    pub(super) sent_ms: u64,
    /// What its operator should know.
    pub(super) warnings: Vec<Warning>,
}

/// What works, but not as it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Warning {
    /// A key may go although its time is not up: so the policy says.
    Evicts(String),
    /// A version without XTRIM MINID.
    Old(String),
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Hello,
    Select,
    Role,
    /// Refused by a node that loads its data, which answers all the others.
    Ping,
    Time,
    Info,
    Policy,
}

impl Greeting {
    /// Writes it all.
    pub(super) fn write(options: &Options, out: &mut Vec<u8>, now_ms: u64) -> Self {
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some([user, password]) = options.credentials.words() {
            hello.extend_from_slice(&[b"AUTH", user, password]);
        }
        hello.extend_from_slice(&[b"SETNAME", b"pushserver"]);
        write_command(&hello, out);
        let mut steps = VecDeque::from([Step::Hello]);
        if options.database != 0 {
            write_command(&[b"SELECT", options.database.to_string().as_bytes()], out);
            steps.push_back(Step::Select);
        }
        write_command(&[b"ROLE"], out);
        write_command(&[b"PING"], out);
        write_command(&[b"TIME"], out);
        write_command(&[b"INFO", b"server"], out);
        write_command(&[b"CONFIG", b"GET", b"maxmemory-policy"], out);
        steps.extend([Step::Role, Step::Ping, Step::Time, Step::Info, Step::Policy]);
        Self { steps, greeted: Greeted { sent_ms: now_ms, ..Greeted::default() } }
    }

    /// Takes an answer; gives what is known once all have come.
    ///
    /// # Errors
    /// The node is none to talk to.
    pub(super) fn read(&mut self, answer: Value) -> Result<Option<Greeted>, Reason> {
        if matches!(answer, Value::Push(_)) {
            return Ok(None);
        }
        let step = self.steps.pop_front().ok_or(Reason::Unexpected("greeting"))?;
        match (step, answer) {
            (Step::Hello, Value::Error(error)) => return Err(Reason::of("HELLO", &error)),
            (Step::Hello, Value::Map(fields)) => self.hello(&fields)?,
            (Step::Select, Value::Error(error)) => return Err(Reason::of("SELECT", &error)),
            (Step::Select, _) => {}
            (Step::Role, Value::Error(error)) => return Err(Reason::of("ROLE", &error)),
            (Step::Role, Value::List(parts)) => match parts.first() {
                Some(Value::Text(role)) if **role == *b"master" => {}
                _ => return Err(Reason::NoMaster),
            },
            (Step::Ping, Value::Error(error)) => return Err(Reason::of("PING", &error)),
            (Step::Ping, _) => {}
            (Step::Time, Value::Error(error)) => return Err(Reason::of("TIME", &error)),
            (Step::Time, Value::List(parts)) => {
                self.greeted.time_ms = time_ms(&parts).ok_or(Reason::Unexpected("TIME"))?;
            }
            (Step::Info, Value::Text(text)) => self.greeted.run_id = run_id(&text),
            (Step::Policy, Value::Map(fields)) => self.policy(&fields),
            // They may be forbidden.
            (Step::Info | Step::Policy, Value::Error(_)) => {}
            (Step::Hello | Step::Role | Step::Time | Step::Info | Step::Policy, _) => {
                return Err(Reason::Unexpected("greeting"));
            }
        }
        if self.steps.is_empty() { Ok(Some(std::mem::take(&mut self.greeted))) } else { Ok(None) }
    }

    fn hello(&mut self, fields: &[Value]) -> Result<(), Reason> {
        if field(fields, b"proto") != Some(&Value::Number(3)) {
            return Err(Reason::NoResp3("it answers in another version".into()));
        }
        if let Some(Value::Text(version)) = field(fields, b"version") {
            let version = String::from_utf8_lossy(version);
            let mut parts = version.split('.').map(str::parse::<u32>);
            if let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next())
                && (major, minor) < (6, 2)
            {
                self.greeted.warnings.push(Warning::Old(format!("{major}.{minor}")));
            }
        }
        Ok(())
    }

    fn policy(&mut self, fields: &[Value]) {
        if let Some(Value::Text(policy)) = field(fields, b"maxmemory-policy")
            && **policy != *b"noeviction"
        {
            let policy = policy[..policy.len().min(40)].escape_ascii().to_string();
            self.greeted.warnings.push(Warning::Evicts(policy));
        }
    }
}

fn field<'v>(fields: &'v [Value], name: &[u8]) -> Option<&'v Value> {
    fields.chunks_exact(2).find_map(|pair| match &pair[0] {
        Value::Text(found) if **found == *name => Some(&pair[1]),
        _ => None,
    })
}

fn time_ms(parts: &[Value]) -> Option<u64> {
    let [Value::Text(seconds), Value::Text(microseconds)] = parts else { return None };
    let number = |text| std::str::from_utf8(text).ok()?.parse::<u64>().ok();
    number(seconds)?.checked_mul(1000)?.checked_add(number(microseconds)? / 1000)
}

fn run_id(info: &[u8]) -> Option<Box<str>> {
    let line = info.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"run_id:"))?;
    Some(String::from_utf8_lossy(line.trim_ascii()).into())
}
