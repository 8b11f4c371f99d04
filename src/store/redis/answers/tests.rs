use super::*;

fn text(text: &str) -> Value {
    Value::Text(text.as_bytes().into())
}

#[test]
fn errors_are_known_by_their_codes() {
    for (error, refusal) in [
        ("OOM command not allowed when used memory > 'maxmemory'.", Refusal::OutOfMemory),
        (
            "OOM command not allowed when used memory > 'maxmemory'. script: 1f, on @user_script:3.",
            Refusal::OutOfMemory,
        ),
        (
            "ERR Error running script (call to f_1f): @user_script:61: @user_script: 61: -OOM command \
             not allowed when used memory > 'maxmemory'.",
            Refusal::OutOfMemory,
        ),
        (
            "ERR Error running script (call to f_1f): @user_script:9: WRONGTYPE Operation against a \
             key holding the wrong kind of value",
            Refusal::WrongType,
        ),
        ("READONLY You can't write against a read only replica.", Refusal::ReadOnly),
        ("LOADING Redis is loading the dataset in memory", Refusal::Loading),
        ("MASTERDOWN Link with MASTER is down", Refusal::Loading),
        ("WRONGTYPE Operation against a key", Refusal::WrongType),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL", Refusal::Busy),
        ("NOSCRIPT No matching script. Please use EVAL.", Refusal::NoScript),
        ("NOPERM this user has no permissions", Refusal::NoPermission),
        ("NOAUTH Authentication required.", Refusal::NoPermission),
        ("WRONGPASS invalid username-password pair", Refusal::NoPermission),
        ("ERR unknown OOM\r\n", Refusal::Other("ERR unknown OOM  ".into())),
        ("", Refusal::Other("".into())),
    ] {
        assert_eq!(Refusal::of(error.as_bytes()), refusal, "{error}");
    }
}

#[test]
fn an_answer_of_another_shape_is_refused() {
    let id = || text("5-1");
    let published = || {
        let mut values = vec![text("ok"), Value::Number(1), id(), Value::Number(3), id(), id()];
        values.extend([0, 1, 2, -1].map(Value::Number));
        values
    };
    let whole = Published::read(Value::List(published())).expect("it is whole");
    assert_eq!((whole.number, whole.messages, whole.asked_ago_s), (3, 2, None));
    for at in 0..published().len() {
        let cut = Value::List(published().into_iter().take(at).collect());
        assert!(Published::read(cut).is_err(), "{at}");
        // The time is nobody's here.
        if at != 1 {
            let mut other = published();
            other[at] = Value::Map(vec![]);
            assert!(Published::read(Value::List(other)).is_err(), "{at}");
        }
    }
    let mut large = published();
    large[3] = Value::Number(1 << 32);
    assert!(Published::read(Value::List(large)).is_err());
    assert!(matches!(Published::read(Value::Null), Err(Refusal::Other(_))));
    let missing = Value::List(vec![text("missing"), Value::Number(9)]);
    assert_eq!(time_ms(&missing), Some(9));
    assert_eq!(Known::read(missing), Err(Refusal::Missing));
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    let fields = ["n", "7", "x", "y", "b", "body", "c", "a/b"].map(text).to_vec();
    let entry = Value::List(vec![text("9-2"), Value::List(fields)]);
    let entry = Entry::read(entry).expect("it is one");
    assert_eq!(entry.place(), MessageId { time: 9, tag: 7 });
    assert_eq!(entry.before, MessageId::default());
    assert_eq!(entry.content.content_type.as_deref(), Some(&b"a/b"[..]));
    let fields = ["n", "7", "b"].map(text).to_vec();
    assert!(Entry::read(Value::List(vec![text("9-2"), Value::List(fields)])).is_err());
}
