use proptest::prelude::*;

use super::*;

/// What comes out of bytes in these pieces.
fn read<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<Value>, Option<Breach>) {
    let (mut decoder, mut values) = (Decoder::default(), Vec::new());
    for mut rest in pieces {
        while !rest.is_empty() {
            match decoder.decode(rest) {
                Err(breach) => return (values, Some(breach)),
                Ok((taken, value)) => {
                    values.extend(value);
                    rest = &rest[taken..];
                }
            }
        }
    }
    (values, None)
}

fn one(bytes: &[u8]) -> Value {
    let (values, breach) = read([bytes]);
    assert_eq!((values.len(), breach), (1, None), "{}", bytes.escape_ascii());
    values.into_iter().next().expect("there is one")
}

fn breach(bytes: &[u8]) -> Breach {
    let (values, breach) = read([bytes]);
    assert!(values.is_empty(), "{values:?}");
    breach.unwrap_or_else(|| panic!("{} is taken", bytes.escape_ascii()))
}

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().into())
}

#[test]
fn every_type_of_a_server_is_read() {
    for (bytes, value) in [
        ("+OK\r\n", text("OK")),
        ("+\r\n", text("")),
        ("-ERR no\r\n", Value::Error(b"ERR no"[..].into())),
        (":-42\r\n", Value::Number(-42)),
        (":+7\r\n", Value::Number(7)),
        ("$5\r\na\r\nbc\r\n", text("a\r\nbc")),
        ("$0\r\n\r\n", text("")),
        ("$-1\r\n", Value::Null),
        ("*-1\r\n", Value::Null),
        ("_\r\n", Value::Null),
        ("*0\r\n", Value::List(vec![])),
        (
            "*2\r\n:1\r\n*1\r\n_\r\n",
            Value::List(vec![Value::Number(1), Value::List(vec![Value::Null])]),
        ),
        ("%1\r\n+a\r\n#t\r\n", Value::Map(vec![text("a"), Value::Boolean(true)])),
        ("~1\r\n#f\r\n", Value::List(vec![Value::Boolean(false)])),
        (">2\r\n+message\r\n$1\r\nx\r\n", Value::Push(vec![text("message"), text("x")])),
        (",-1.5e3\r\n", text("-1.5e3")),
        (",inf\r\n", text("inf")),
        (",nan\r\n", text("nan")),
        (
            "(-3492890328409238509324850943850943825024385\r\n",
            text("-3492890328409238509324850943850943825024385"),
        ),
        ("!9\r\nERR a\r\nbc\r\n", Value::Error(b"ERR a\r\nbc"[..].into())),
        ("=8\r\ntxt:abcd\r\n", text("abcd")),
        ("|1\r\n+ttl\r\n:3\r\n+OK\r\n", text("OK")),
        ("*1\r\n|1\r\n+ttl\r\n:3\r\n|0\r\n:5\r\n", Value::List(vec![Value::Number(5)])),
    ] {
        if bytes.ends_with("bc\r\n") && bytes.starts_with('!') {
            // "ERR a", a line's end and "bc" are nine bytes.
            assert_eq!(bytes.len(), 4 + 9 + 2);
        }
        assert_eq!(one(bytes.as_bytes()), value, "{bytes:?}");
    }
}

#[test]
fn what_is_no_resp_is_refused_as_soon_as_it_is_seen() {
    assert_eq!(breach(b"HTTP/1.1 400 Bad Request"), Breach::NoType(b'H'));
    assert_eq!(breach(b"\n"), Breach::NoType(b'\n'));
    for line in [
        "+a\n",
        "+a\rb\r\n",
        ":\r\n",
        ":1.5\r\n",
        ":9223372036854775808\r\n",
        "_x\r\n",
        "#x\r\n",
        ",x\r\n",
        "(\r\n",
        "(1x\r\n",
        "$\r\n",
        "$-2\r\n",
        "$+1\r\n",
        "$?\r\n",
        "*?\r\n",
        "%-1\r\n",
        ">-1\r\n",
    ] {
        assert_eq!(breach(line.as_bytes()), Breach::Line, "{line:?}");
    }
    for blob in ["$1\r\nab\r\n", "$1\r\na\n\n", "=3\r\ntxt\r\n", "=4\r\ntxt;\r\n"] {
        assert_eq!(breach(blob.as_bytes()), Breach::Blob, "{blob:?}");
    }
    assert_eq!(breach(b">0\r\n"), Breach::Push);
    assert_eq!(breach(b"*1\r\n>1\r\n+a\r\n"), Breach::Push);
}

#[test]
fn limits_are_kept_to_the_byte() {
    let line = |length: usize| [b"+".as_slice(), &vec![b'a'; length - 3], b"\r\n"].concat();
    assert_eq!(read([&line(LINE_BYTES_MAX)[..]]).1, None);
    assert!(matches!(breach(&line(LINE_BYTES_MAX + 1)), Breach::TooLarge(_)));
    // Without its end, too.
    assert!(matches!(breach(&line(LINE_BYTES_MAX + 3)[..LINE_BYTES_MAX + 1]), Breach::TooLarge(_)));
    let nested = |depth: usize| ["*1\r\n".repeat(depth).as_bytes(), b":1\r\n"].concat();
    assert_eq!(read([&nested(DEPTH_MAX)[..]]).1, None);
    assert!(matches!(breach(&nested(DEPTH_MAX + 1)), Breach::TooLarge(_)));
    for refused in [
        "*1048577\r\n",
        "%524289\r\n",
        "*1048576\r\n*1\r\n",
        "$67108865\r\n",
        "$99999999999999999999\r\n",
    ] {
        assert!(matches!(breach(refused.as_bytes()), Breach::TooLarge(_)), "{refused}");
    }
    for taken in ["*1048576\r\n", "%524288\r\n", "$67108864\r\n"] {
        assert_eq!(read([taken.as_bytes()]), (vec![], None), "{taken}");
    }
}

#[test]
fn a_promised_length_takes_no_memory() {
    let mut decoder = Decoder::default();
    assert_eq!(decoder.decode(b"*1048576\r\n$67108864\r\nabc"), Ok((24, None)));
    assert!(decoder.kept_bytes() <= 16, "{}", decoder.kept_bytes());
    assert!(decoder.open[0].values.capacity() == 0);
}

#[test]
fn a_blob_that_comes_byte_by_byte_is_looked_at_once() {
    // 4 MB in pieces of 1 byte: quadratic work would take minutes.
    let length = 4 << 20;
    let mut bytes = format!("${length}\r\n").into_bytes();
    bytes.resize(bytes.len() + length, b'\n');
    bytes.extend_from_slice(b"\r\n");
    let (values, breach) = read(bytes.chunks(1));
    assert_eq!((values.len(), breach), (1, None));
}

#[test]
fn a_command_is_written_in_blobs() {
    let mut out = Vec::new();
    write_command(&[b"GET", b"", b"a\r\n\0"], &mut out);
    assert_eq!(out, b"*3\r\n$3\r\nGET\r\n$0\r\n\r\n$4\r\na\r\n\0\r\n");
    assert_eq!(one(&out), Value::List(vec![text("GET"), text(""), text("a\r\n\0")]));
}

#[test]
fn a_number_is_written_as_the_word_of_its_digits() {
    for number in [0, 7, 9, 10, 99, 100, 999_999_999, 1_000_000_000, 1_700_000_000_123, u64::MAX] {
        let (mut in_one_piece, mut as_word) = (Vec::new(), Vec::new());
        write_number(number, &mut in_one_piece);
        write_word(number.to_string().as_bytes(), &mut as_word);
        assert_eq!(in_one_piece, as_word, "{number}");
        assert_eq!(one(&in_one_piece), text(&number.to_string()));
    }
}

#[test]
fn words_of_every_length_say_how_long_they_are() {
    for length in [0, 1, 9, 10, 11, 99, 100, 101, 1000] {
        let mut out = Vec::new();
        write_word(&vec![b'a'; length], &mut out);
        assert_eq!(one(&out), text(&"a".repeat(length)));
    }
}

fn values() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Vec::into_boxed_slice);
    let leaf = prop_oneof![
        bytes().prop_map(Value::Text),
        bytes().prop_map(Value::Error),
        any::<i64>().prop_map(Value::Number),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::List),
            prop::collection::vec(pair, 0..3).prop_map(|pairs| Value::Map(
                pairs.into_iter().flat_map(<[Value; 2]>::from).collect()
            )),
        ]
    })
}

fn write(value: &Value, out: &mut Vec<u8>) {
    let mut blob = |kind: char, text: &[u8]| {
        out.extend_from_slice(format!("{kind}{}\r\n", text.len()).as_bytes());
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    };
    let (kind, count, within) = match value {
        Value::Text(text) => return blob('$', text),
        Value::Error(text) => return blob('!', text),
        Value::Number(number) => return out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
        Value::Null => return out.extend_from_slice(b"_\r\n"),
        Value::Boolean(is) => {
            return out.extend_from_slice(if *is { b"#t\r\n" } else { b"#f\r\n" });
        }
        Value::List(values) => ('*', values.len(), values),
        Value::Map(values) => ('%', values.len() / 2, values),
        Value::Push(values) => ('>', values.len(), values),
    };
    out.extend_from_slice(format!("{kind}{count}\r\n").as_bytes());
    within.iter().for_each(|value| write(value, out));
}

proptest! {
    #[test]
    fn values_are_read_as_they_were_written_wherever_they_are_split(
        written in prop::collection::vec(values(), 1..4),
    ) {
        let mut bytes = Vec::new();
        written.iter().for_each(|value| write(value, &mut bytes));
        let whole = (written, None);
        prop_assert_eq!(&read([&bytes[..]]), &whole);
        prop_assert_eq!(&read(bytes.chunks(1)), &whole);
        for at in 0..bytes.len() {
            let (first, second) = bytes.split_at(at);
            prop_assert_eq!(&read([first, second]), &whole);
        }
    }

    #[test]
    fn any_bytes_give_the_same_wherever_they_are_split(
        bytes in "[-+:$*_#,(!=%~>|0-3a\r\n]{0,60}|([-+:$*_#,(!=%~>|][0-2]\r\n){0,12}",
    ) {
        let bytes = bytes.as_bytes();
        let whole = read([bytes]);
        prop_assert_eq!(&read(bytes.chunks(1)), &whole);
        for at in 0..bytes.len() {
            let (first, second) = bytes.split_at(at);
            prop_assert_eq!(&read([first, second]), &whole);
        }
    }
}
