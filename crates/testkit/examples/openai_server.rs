//! The OpenAI-compatible test server on its own, to point a real `nooble` at.
//!
//! ```text
//! cargo run -p testkit --example openai_server -- [--listen HOST:PORT] [MODE]
//!
//! MODE   normal | slow MILLISECONDS | status CODE [TIMES [RETRY_AFTER]] | cut PARTS | garbage | silent
//! ```
//!
//! Then: `LLM_BASE_URL=<the address printed> LLM_API_KEY=any LLM_MODEL=any nooble up`. It repeats what it is told.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use testkit::openai::{Mode, OpenAi};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((listen, mode)) = parse(&arguments) else {
        eprintln!(
            "usage: openai_server [--listen HOST:PORT] \
             [normal | slow MILLISECONDS | status CODE [TIMES [RETRY_AFTER]] | cut PARTS | garbage | silent]"
        );
        return ExitCode::from(2);
    };
    let server = OpenAi::start_on(listen).await;
    server.set_parts(24);
    println!("{}", server.base_url());
    println!("mode: {mode:?}; ends with Ctrl-C");
    server.set_mode(mode);
    match tokio::signal::ctrl_c().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Option<(SocketAddr, Mode)> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (listen, rest) = match arguments.as_slice() {
        ["--listen", address, rest @ ..] => (address.parse().ok()?, rest),
        rest => (SocketAddr::from(([127, 0, 0, 1], 0)), rest),
    };
    let mode = match rest {
        [] | ["normal"] => Mode::Normal,
        ["slow", pause] => Mode::Slow(Duration::from_millis(pause.parse().ok()?)),
        ["status", code, rest @ ..] => Mode::Status {
            code: code.parse().ok()?,
            times: rest.first().map_or(Some(usize::MAX), |times| times.parse().ok())?,
            retry_after: rest.get(1).map(|value| (*value).to_owned()),
        },
        ["cut", parts] => Mode::Cut { after: parts.parse().ok()? },
        ["garbage"] => Mode::Garbage,
        ["silent"] => Mode::Silent,
        _ => return None,
    };
    Some((listen, mode))
}
