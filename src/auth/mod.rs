//! Users, passwords, tokens, roles and grants, and the file that contains them.
//!
//! Owns the users, and the decision whether something is permitted. It never looks at an existing
//! key, so that no refusal reveals one.
//!
//! # Layout
//!
//! Pure: `pattern` and `key_set` (the names that a grant covers), `access` with `permit` (the
//! combined grants of a user, and the permission that each request needs), `book` (roles and users
//! as in the file), `users` (the same, indexed), `password`, `token`, `origin` and `throttle`.
//! Wiring: `file` (the file itself), `pool` (threads that hash), `service` ([`Auth`], which
//! combines them).
//!
//! # Design
//!
//! - **`permit` alone states what a request needs,** from the words of the request, so a refusal
//!   cannot reveal what exists. Grants are merged into spans of names that neither overlap nor
//!   touch (`key_set`): a range is granted if it lies in one span. If the words do not show what
//!   a request is about (a lease by its number, a job by its id), the actors ask the same
//!   `Access` again before anything is done, and the connection filters what a page of outcomes
//!   shows. A lease may have 100,000 keys, so the decision about a lease is remembered until
//!   another key is bound to it.
//! - A connection's `Gate` knows its user, and one atomic number tells the gate that users have
//!   changed. The connection then ends what is no longer granted, including batches that were
//!   already read. So connections with users remember which keys their waits and watches cover,
//!   which methods they call, and what their waiting requests were; the topic of a job that is
//!   awaited by its id is known to the queue.
//! - A `Pool` of threads with a bounded queue checks passwords, not the arbiter; the password of
//!   an unknown user is checked against another user's hash. The `Throttle` is pure; it stores
//!   one time per `Origin`, which is an address, or over a link a user.
//! - The file is replaced atomically. Commands change it one after the other, under a lock of its
//!   directory. The server compares change time, size and inode, and reads the file again while
//!   it is so young that these may not have changed.
//!
//! ```
//! use wakeful::auth::{Action, Book, Pattern};
//!
//! let mut book = Book::new();
//! book.add_role("reader")?;
//! book.grant("reader", Action::Read, Pattern::parse("config/*")?)?;
//! book.add_user("alice", None)?;
//! book.give_role("alice", "reader")?;
//! assert!(book.to_toml().contains("config/*"));
//! # Ok::<(), String>(())
//! ```

mod access;
mod book;
mod change;
mod file;
mod key_set;
mod layout;
mod origin;
mod password;
mod pattern;
mod permit;
mod pool;
mod service;
#[cfg(test)]
mod tests;
mod throttle;
mod token;
mod users;

pub use crate::model::Credentials;
pub use access::Action;
pub(crate) use access::{Access, Need};
pub use book::{Book, Role, TokenInfo, User};
pub use file::AuthFile;
use origin::Origin;
pub use password::hash_password;
pub use pattern::Pattern;
pub(crate) use permit::reads;
pub use service::Auth;
pub(crate) use service::{AUDIT, Login};
pub use token::NewToken;
