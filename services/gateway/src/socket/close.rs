//! Why a socket is closed. 4000 to 4499: come back; 4500 to 4999: not like this.

use axum::extract::ws::{CloseFrame, Message};

/// Most milliseconds until a client shall come back whose process ends.
const LATEST_RETURN: u32 = 2000;

/// Reasons to close, with the code that the client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// The client left; nothing is left to say.
    Gone,
    /// This process is being replaced.
    Draining,
    /// No `auth` frame came in time.
    AuthTimeout,
    /// The credential was revoked or has expired.
    Expired,
    /// The client reads more slowly than its session speaks.
    Slow,
    /// No pong came.
    NoPong,
    /// The client sends more frames than its socket may.
    TooMany,
    /// The session cannot be followed for now.
    Unavailable,
    /// The credential is wrong.
    InvalidToken,
    /// The credential does not fit what was asserted.
    Forbidden,
    /// The tenant, or the user, has as many sockets as may be.
    ConnectionLimit,
    /// The client broke the protocol.
    BadFrame,
    /// The client sent more than a frame may hold.
    TooLarge,
}

impl Close {
    /// Returns the code of the close frame.
    pub(crate) const fn code(self) -> u16 {
        match self {
            Self::Gone => 1000,
            Self::Draining => 4001,
            Self::AuthTimeout => 4400,
            Self::Expired => 4401,
            Self::Slow => 4408,
            Self::NoPong => 4412,
            Self::TooMany => 4429,
            Self::Unavailable => 4450,
            Self::InvalidToken => 4501,
            Self::Forbidden => 4503,
            Self::ConnectionLimit => 4504,
            Self::BadFrame => 4509,
            Self::TooLarge => 4513,
        }
    }

    /// Returns the word of the close frame.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Gone => "bye",
            Self::Draining => "draining",
            Self::AuthTimeout => "auth_timeout",
            Self::Expired => "token_expired",
            Self::Slow => "slow_consumer",
            Self::NoPong => "no_pong",
            Self::TooMany => "message_rate",
            Self::Unavailable => "unavailable",
            Self::InvalidToken => "invalid_token",
            Self::Forbidden => "forbidden",
            Self::ConnectionLimit => "connection_limit",
            Self::BadFrame => "bad_frame",
            Self::TooLarge => "too_large",
        }
    }

    /// Returns the close frame. Who is sent elsewhere is told after which time to come, each after another one.
    pub(crate) fn message(self) -> Message {
        let reason = self.reason();
        let reason = match self {
            Self::Draining => format!("{reason} retry_after_ms={}", rand::random_range(0..=LATEST_RETURN)).into(),
            _ => reason.into(),
        };
        Message::Close(Some(CloseFrame { code: self.code(), reason }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every reason that a client can be told.
    const TOLD: [Close; 12] = [
        Close::Draining,
        Close::AuthTimeout,
        Close::Expired,
        Close::Slow,
        Close::NoPong,
        Close::TooMany,
        Close::Unavailable,
        Close::InvalidToken,
        Close::Forbidden,
        Close::ConnectionLimit,
        Close::BadFrame,
        Close::TooLarge,
    ];

    /// Where a reason stands in the list; a new one does not compile until it has a place.
    fn place(close: Close) -> Option<usize> {
        match close {
            Close::Gone => None,
            Close::Draining
            | Close::AuthTimeout
            | Close::Expired
            | Close::Slow
            | Close::NoPong
            | Close::TooMany
            | Close::Unavailable
            | Close::InvalidToken
            | Close::Forbidden
            | Close::ConnectionLimit
            | Close::BadFrame
            | Close::TooLarge => TOLD.iter().position(|told| *told == close),
        }
    }

    #[test]
    fn the_documentation_says_every_code_and_no_other() {
        assert_eq!(place(Close::Gone), None, "nobody is there to be told");
        assert!(TOLD.iter().enumerate().all(|(at, close)| place(*close) == Some(at)));
        let text = include_str!("../../../../docs/websocket.md");
        let rows = text.lines().filter_map(|line| line.strip_prefix("| 4"));
        let said: Vec<String> =
            rows.map(|row| format!("4{}", row.split('|').next().unwrap_or_default().trim())).collect();
        let told: Vec<String> = TOLD.iter().map(|close| format!("{} `{}`", close.code(), close.reason())).collect();
        assert_eq!(said, told);
    }

    #[test]
    fn a_client_knows_by_the_code_whether_to_come_back() {
        let (back, away) = TOLD.split_at(7);
        assert!(back.iter().all(|close| (4000..4500).contains(&close.code())));
        assert!(away.iter().all(|close| (4500..5000).contains(&close.code())));
    }
}
