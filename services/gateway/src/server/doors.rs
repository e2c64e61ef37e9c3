//! How many connections there may be, in all and from one address.

use std::net::IpAddr;
use std::sync::Arc;

use fault::{Failure, Problem, reason};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shares::{Share, Shares};

/// Lets connections in, up to a number.
#[derive(Debug)]
pub(super) struct Doors {
    all: Arc<Semaphore>,
    most_of_one: usize,
    held: Shares<IpAddr>,
}

/// A connection that was let in.
#[derive(Debug)]
pub(super) struct Entered {
    _permit: OwnedSemaphorePermit,
    _counted: Option<Share<IpAddr>>,
}

impl Doors {
    /// Takes the greatest number of connections, and of those from one address.
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))), most_of_one, held: Shares::default() }
    }

    /// Lets a connection in if there is room. Many clients come by the address of a trusted proxy, so it is not counted.
    pub(super) fn enter(&self, from: IpAddr, is_proxy: bool) -> Option<Entered> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let counted = if is_proxy { None } else { Some(self.held.take(quota::network(from), self.most_of_one)?) };
        Some(Entered { _permit: permit, _counted: counted })
    }
}

/// Says once that there is no room, to a client that listens and speaks plain HTTP.
pub(super) fn turn_away(stream: &TcpStream) {
    let failure = Failure::new(&reason::OVERLOADED, "there are too many connections");
    let body = serde_json::to_string(&Problem::of(&failure)).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 5\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let _gone = stream.try_write(answer.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_gives_back_what_it_took() {
        let doors = Doors::new(4, 2);
        let (one, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = doors.enter(one, false).unwrap();
        let second = doors.enter(one, false).unwrap();
        assert!(doors.enter(one, false).is_none(), "its share is taken");
        let third = doors.enter(other, false).unwrap();
        drop(first);
        let again = doors.enter(one, false).unwrap();
        let proxied = doors.enter(one, true).unwrap();
        assert!(doors.enter(other, false).is_none(), "all places are taken");
        drop((second, third, again, proxied));
        assert!(doors.held.is_empty());
    }

    #[test]
    fn neighbours_of_a_network_are_one() {
        let doors = Doors::new(9, 1);
        let _held = doors.enter("2001:db8::1".parse().unwrap(), false).unwrap();
        assert!(doors.enter("2001:db8::2".parse().unwrap(), false).is_none());
        assert!(doors.enter("2001:db8:0:1::2".parse().unwrap(), false).is_some());
        let _v4 = doors.enter("::ffff:10.0.0.1".parse().unwrap(), false).unwrap();
        assert!(doors.enter("10.0.0.1".parse().unwrap(), false).is_none());
    }
}
