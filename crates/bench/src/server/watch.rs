//! The commands that a server is sent while somebody looks, one by one. What all processes send also when nobody asks them
//! anything comes in bursts, so counters cannot tell it from what one request causes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Server;

/// Looks on until it is asked.
#[derive(Debug)]
pub struct Watch<'a> {
    server: &'a Server,
    seen: std::thread::JoinHandle<Result<Vec<String>>>,
    mark: String,
}

impl<'a> Watch<'a> {
    pub(super) fn begin(server: &'a Server, stream: TcpStream) -> Result<Self> {
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        (&stream).write_all(b"*1\r\n$7\r\nMONITOR\r\n")?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        ensure!(line.starts_with("+OK"), "Redis does not let its commands be seen: {}", line.trim_end());
        let mark = format!("{:032x}", rand::random::<u128>());
        let until = mark.clone();
        let seen = std::thread::spawn(move || {
            let mut commands = Vec::new();
            for line in reader.lines() {
                let line = line.context("see the commands of Redis")?;
                if line.contains(&until) {
                    break;
                }
                commands.push(line);
            }
            Ok(commands)
        });
        Ok(Self { server, seen, mark })
    }

    /// Returns how many commands named this key or value, those inside of scripts not included.
    pub fn naming(self, text: &str) -> Result<u32> {
        // Commands are seen in their order, so nothing that was sent before this one is missed.
        self.server.command(&["ECHO", &self.mark])?;
        let seen = self.seen.join().map_err(|_| anyhow::anyhow!("who looked at the commands of Redis failed"))??;
        let naming = seen.iter().filter(|line| !line.contains(" lua] ") && line.contains(text)).count();
        Ok(u32::try_from(naming).unwrap_or(u32::MAX))
    }
}
