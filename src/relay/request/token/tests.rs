use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::*;

/// Of the `SECRET_KEY` "a secret key of tests", and of "an older one".
const KEYS: [&str; 2] =
    ["WPZ7yA_D0aNIjCHEGbtz24TFkjQ4ZWovxcFaPztwUGg", "Iz4EmekEW4lQnuGhvyKvDmMpS2p_dacV8fgJFHPNvQM"];

/// When Django signed what is here.
const SIGNED_S: u64 = 1_795_936_048;

/// `{"c":"room","e":3600}`, signed by either.
const ROOM: &str =
    "eyJjIjoicm9vbSIsImUiOjM2MDB9:1xXZ0S:NCZ7aEQU9pmIbthwlNh46cTQ6QpzapzIWyxlF-bM2JQ";
const OF_OLDER_KEY: &str =
    "eyJjIjoicm9vbSIsImUiOjM2MDB9:1xXZ0S:yrO5qLRzrmX20bmscFCyqNXrYHL90T4Zv1vxj35yBbk";

const WEEK_S: u64 = 604_800;

fn keys() -> Vec<SigningKey> {
    KEYS.iter().map(|key| SigningKey::of(&(*key).into()).unwrap()).collect()
}

fn read(text: &str) -> Option<Token> {
    Token::read(text.as_bytes(), &keys(), WEEK_S)
}

/// Signs a text with the first key.
fn sign(text: &str) -> String {
    let key = URL_SAFE_NO_PAD.decode(KEYS[0]).unwrap();
    let mac = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(text);
    format!("{text}:{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

fn token_of(claims: &str) -> Option<Token> {
    read(&sign(&format!("{}:1xXZ0S", URL_SAFE_NO_PAD.encode(claims))))
}

fn room() -> Token {
    Token {
        channels: vec!["room".to_owned()],
        signed_s: SIGNED_S,
        ends_s: SIGNED_S + 3600,
        user: None,
        publishes: false,
        group: String::new(),
        store: "default".to_owned(),
    }
}

#[test]
fn what_django_signs_is_read() {
    assert_eq!(read(ROOM), Some(room()));
    assert_eq!(read(OF_OLDER_KEY), Some(room()));
    assert_eq!(sign(&ROOM[..ROOM.rfind(':').unwrap()]), ROOM);
    let all = read(
        "eyJjIjoiclx1MDBlNHVtLyUiLCJlIjo2MCwidSI6IjQyIiwiYSI6InB1YiIsImciOiJnIiwicyI6ImNoYXQifQ\
         :1xXZ0S:6BaMPw1UUbJM0m99fEgQom_FOLr4oBxRKedqch66Ruo",
    );
    let expected = Token {
        channels: vec!["räum/%".to_owned()],
        ends_s: SIGNED_S + 60,
        user: Some("42".into()),
        publishes: true,
        group: "g".to_owned(),
        store: "chat".to_owned(),
        ..room()
    };
    assert_eq!(all, Some(expected));
    let several = read(
        "eyJjIjpbImEiLCJiIl0sImUiOjEsIngiOlsxXX0:1xXZ0S:nHHkP7BSVipY-_QBFyP0W9fO2L2_1oF3eUkIuL6NPXk",
    );
    let expected =
        Token { channels: vec!["a".to_owned(), "b".to_owned()], ends_s: SIGNED_S + 1, ..room() };
    assert_eq!(several, Some(expected));
}

#[test]
fn a_token_that_is_changed_anywhere_is_none() {
    for at in 0..ROOM.len() {
        for byte in [b'A', b'B', b':', b'.', b'=', b'\n', 0, 0xff] {
            let mut bytes = ROOM.as_bytes().to_vec();
            if bytes[at] != byte {
                bytes[at] = byte;
                assert_eq!(Token::read(&bytes, &keys(), WEEK_S), None, "{at} {byte}");
            }
        }
        assert_eq!(read(&ROOM[..at]), None);
        assert_eq!(read(&ROOM[at + 1..]), None);
    }
    for text in [format!("{ROOM}="), format!("{ROOM}A"), format!(" {ROOM}"), format!("{ROOM}\n")] {
        assert_eq!(read(&text), None, "{text:?}");
    }
}

#[test]
fn a_token_of_another_key_is_none() {
    let first = &keys()[..1];
    assert_eq!(Token::read(OF_OLDER_KEY.as_bytes(), first, WEEK_S), None);
    assert_eq!(Token::read(ROOM.as_bytes(), first, WEEK_S), Some(room()));
    assert_eq!(Token::read(ROOM.as_bytes(), &[], WEEK_S), None);
}

#[test]
fn what_is_signed_and_is_no_token_is_none() {
    let json = URL_SAFE_NO_PAD.encode(r#"{"c":"room","e":60}"#);
    assert!(read(&sign(&format!("{json}:1xXZ0S"))).is_some());
    for text in [
        "",
        ":",
        "::",
        &json,
        &format!("{json}:"),
        &format!("{json}:1xX-0S"),
        &format!("{json}:-1"),
        &format!("{json}:zzzzzzzzzzzz"),
        &format!("{json}=:1xXZ0S"),
        // Compressed, or as if it were.
        &format!(".{json}:1xXZ0S"),
        ".eJyrVkpWslIqys_PVdJRSlWyMjOoBQBAJwYI:1xXZ0S",
        // Signed twice: what stands inside is no JSON.
        ROOM,
    ] {
        assert_eq!(read(&sign(text)), None, "{text}");
    }
}

#[test]
fn claims_that_are_wrong_are_refused() {
    let good = r#"{"c":"room","e":3600}"#;
    assert_eq!(token_of(good), Some(room()));
    for claims in [
        "",
        "{}",
        "[]",
        "null",
        r#"["room",3600]"#,
        r#"["room",3600,"42","pub","g","chat"]"#,
        r#"{"c":"room"}"#,
        r#"{"e":3600}"#,
        r#"{"c":"room","e":3600}}"#,
        r#"{"c":"room","e":3600"#,
        // Given twice.
        r#"{"c":"room","c":"room","e":3600}"#,
        r#"{"c":"room","e":3600,"e":3600}"#,
        r#"{"c":"room","e":3600,"u":"1","u":"1"}"#,
        r#"{"c":"room","e":3600,"a":"pub","a":"pub"}"#,
        r#"{"c":"room","e":3600,"g":"","g":""}"#,
        r#"{"c":"room","e":3600,"s":"a","s":"a"}"#,
        // Of the wrong type.
        r#"{"c":1,"e":3600}"#,
        r#"{"c":null,"e":3600}"#,
        r#"{"c":["a",1],"e":3600}"#,
        r#"{"c":{"a":1},"e":3600}"#,
        r#"{"c":"room","e":"3600"}"#,
        r#"{"c":"room","e":null}"#,
        r#"{"c":"room","e":true}"#,
        r#"{"c":"room","e":3600,"u":42}"#,
        r#"{"c":"room","e":3600,"u":null}"#,
        r#"{"c":"room","e":3600,"a":null}"#,
        r#"{"c":"room","e":3600,"a":{"pub":null}}"#,
        r#"{"c":"room","e":3600,"g":null}"#,
        r#"{"c":"room","e":3600,"s":1}"#,
        // No whole number, or out of bounds.
        r#"{"c":"room","e":3600.0}"#,
        r#"{"c":"room","e":3600.5}"#,
        r#"{"c":"room","e":36e2}"#,
        r#"{"c":"room","e":0}"#,
        r#"{"c":"room","e":-1}"#,
        r#"{"c":"room","e":604801}"#,
        r#"{"c":"room","e":18446744073709551616}"#,
        // No action, or no user.
        r#"{"c":"room","e":3600,"a":"sub"}"#,
        r#"{"c":"room","e":3600,"a":""}"#,
        r#"{"c":"room","e":3600,"u":""}"#,
        // No Unicode.
        r#"{"c":"\ud800","e":3600}"#,
    ] {
        assert_eq!(token_of(claims), None, "{claims}");
    }
    let user = |length| token_of(&format!(r#"{{"c":"room","e":1,"u":"{}"}}"#, "u".repeat(length)));
    assert!(user(128).is_some_and(|token| token.user.is_some()));
    assert_eq!(user(129), None);
    assert!(token_of(r#"{"c":"room","e":604800}"#).is_some());
    let deep = format!(r#"{{"c":"room","e":1,"x":{}}}"#, "[".repeat(100_000));
    assert_eq!(token_of(&deep), None);
}

#[test]
fn a_claim_that_is_not_known_is_passed_over() {
    let claims = r#" {"x":{"c":[1.5,null]},"c":"room","cc":"a","e":3600,"x":1,"member":"s:1"} "#;
    // Django writes no spaces; whoever does is not refused for it but in front.
    assert_eq!(token_of(claims.trim_start()), Some(room()));
}

#[test]
fn a_number_in_base_62_is_as_django_writes_it() {
    for (text, number) in [("0", 0), ("z", 61), ("10", 62), ("1xXZ0S", SIGNED_S)] {
        assert_eq!(base_62(text.as_bytes()), Some(number), "{text}");
    }
    assert_eq!(base_62(b"LygHa16AHYF"), Some(u64::MAX));
    for wrong in ["", "-1", "LygHa16AHYG", "LygHa16AHYF0", "1 ", "é"] {
        assert_eq!(base_62(wrong.as_bytes()), None, "{wrong}");
    }
}
