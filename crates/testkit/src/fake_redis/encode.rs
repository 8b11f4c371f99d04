//! Encode: values as RESP3.

use std::io::Write;

use pushserver::store::redis::resp::Value;

/// Writes a value.
pub(super) fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => blob(b'$', text, out),
        Value::Error(error) => blob(b'-', error, out),
        Value::Number(number) => line(':', number, out),
        Value::Null => out.extend_from_slice(b"_\r\n"),
        Value::Boolean(is_true) => line('#', if *is_true { 't' } else { 'f' }, out),
        Value::List(values) => all('*', values.len(), values, out),
        Value::Map(values) => all('%', values.len() / 2, values, out),
        Value::Push(values) => all('>', values.len(), values, out),
    }
}

fn all(kind: char, length: usize, values: &[Value], out: &mut Vec<u8>) {
    line(kind, length, out);
    values.iter().for_each(|value| encode(value, out));
}

/// An error is a line.
fn blob(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    if kind == b'$' {
        write!(out, "{}\r\n", bytes.len()).expect("there is room in a vector");
    }
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn line(kind: char, rest: impl std::fmt::Display, out: &mut Vec<u8>) {
    write!(out, "{kind}{rest}\r\n").expect("there is room in a vector");
}
