//! Z1 to Z32: what a server that faces a network must survive, each attack or fault as one test (or
//! a few) with its number, against a server that is a process of its own. Its memory and its file
//! descriptors are watched, and a well-behaved client beside the attack, which must notice nothing
//! but that it may have to wait.
//!
//! | | | |
//! |---|---|---|
//! | 1, 6, 7, 8, 9 | bytes that are wrong | `framing` |
//! | 2, 3, 4, 10, 16 | peers that are slow, silent or gone | `slow` |
//! | 10 | what is kept for those who do not take it | `memory` |
//! | 5, 11, 12, 13, 14, 15 | too much of something | `floods` |
//! | 17, 18, 19 | clients that die, ask again, or no longer wait | `clients` |
//! | 20, 21, 22, 23, 24, 25 | faults of the server, its disk, its power; its stop | `faults` |
//! | 26, 27 | guessed passwords, and what one may not do | `access` |
//! | 28 | links | `links` |
//! | 29 | clocks that jump | `clocks` |
//! | 30, 32 | what would write into the log, and what would fill it | `logs` |
//! | 31 | one client that holds all it can of something | `shares` |
//! | 1, 3, 6, 7, 10, 13, 14 | the same at the JSON door | `json` |
//!
//! Times are shortened by limits where a test would else wait for them; no test asserts one.

mod access;
mod beside;
mod clients;
mod clocks;
mod faults;
mod floods;
mod framing;
mod json;
mod links;
mod logs;
mod memory;
mod shares;
mod slow;
mod victim;

use std::net::{IpAddr, Ipv4Addr};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Where attacks come from: not from where the client beside them does.
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const LIMIT_EXCEEDED: u16 = 2;
const DEADLINE_EXCEEDED: u16 = 12;
const CANCELLED: u16 = 13;
const PROTOCOL: u16 = 15;
const FRAME_TOO_LARGE: u16 = 16;
