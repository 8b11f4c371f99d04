//! (being written)

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = lexopt::Parser::from_env();
    match arguments.next() {
        Ok(Some(lexopt::Arg::Value(word))) if word == "bench" => pushserver::bench::run(arguments),
        _ => ExitCode::FAILURE,
    }
}
