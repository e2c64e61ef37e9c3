//! The defects of the predecessor, each as the behaviour that is right. A test, or two, for each of the twelve:
//!
//! | # | what was wrong | where it is proved |
//! |---|---|---|
//! | 1 | a socket needed no token, and `debug_token` was one | [`identity`] |
//! | 2 | the tier that a caller named decided about its limits | [`identity`] |
//! | 3 | access was granted when it could not be checked | [`identity`] |
//! | 4 | a session of the same name took over another tenant's socket and its answers | [`delivery`] |
//! | 5 | callbacks never reached the sockets, which were kept elsewhere | [`delivery`] |
//! | 6 | a callback was lost when another node held the socket | [`delivery`] |
//! | 7 | a crash between taking work and passing it on lost it | [`crash`] |
//! | 8 | a limit was counted in steps, and exceeding it was a 500 | [`operation`] |
//! | 9 | statistics ran `KEYS` over everything | [`operation`] |
//! | 10 | anybody could read who is connected | [`operation`] |
//! | 11 | nobody noticed that a peer was dead | [`operation`] |
//! | 12 | what users wrote, and all their headers, stood in metadata and logs | [`logs`] |

mod crash;
mod delivery;
mod identity;
mod logs;
mod operation;
