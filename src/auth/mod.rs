//! Users, passwords, tokens, roles and grants, and the file that contains them.
//!
//! Owns the users, and the decision whether something is permitted. It never looks at an existing
//! key, so that no refusal reveals one.
//!
//! # Layout
//!
//! Pure: `pattern` and `key_set` (the names that a grant covers), `access` with `permit` (the
//! combined grants of a user, and the permission that each request needs), `user_store` (roles and users
//! as in the file), `users` (the same, indexed), `password`, `token`, `origin` and `login_limiter`.
//! Wiring: `file` (the file itself), `pool` (threads that hash), `handle` ([`Auth`], which
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
//! - A connection's `Authorization` knows its user, and one atomic number tells it that users have
//!   changed. The connection then ends what is no longer granted, including batches that were
//!   already read. So connections with users remember which keys their waits and watches cover,
//!   which methods they call, and what their waiting requests were; the topic of a job that is
//!   awaited by its id is known to the queue.
//! - A `Pool` of threads with a bounded queue checks passwords, not the arbiter; the password of
//!   an unknown user is checked against another user's hash. The `LoginLimiter` is pure; it stores
//!   one time per `LoginOrigin`, which is an address, or over a link a user.
//! - The file is replaced atomically. Commands change it one after the other, under a lock of its
//!   directory. The server compares change time, size and inode, and reads the file again while
//!   it is so young that these may not have changed.
//!
//! ```
//! use wakeful::auth::{Action, Pattern, UserStore};
//!
//! let mut users = UserStore::new();
//! users.add_role("reader")?;
//! users.grant("reader", Action::Read, Pattern::parse("config/*")?)?;
//! users.add_user("alice", None)?;
//! users.give_role("alice", "reader")?;
//! assert!(users.to_toml().contains("config/*"));
//! # Ok::<(), String>(())
//! ```

mod access;
mod change;
mod file;
mod handle;
mod key_set;
mod layout;
mod login_limiter;
mod origin;
mod password;
mod pattern;
mod permit;
mod pool;
#[cfg(test)]
mod tests;
mod token;
mod user_store;
mod users;

pub use crate::model::Credentials;
pub use access::Action;
pub(crate) use access::{Access, Denied};
pub use file::AuthFile;
pub use handle::Auth;
pub(crate) use handle::{AUDIT, Login};
use origin::LoginOrigin;
pub use password::hash_password;
pub use pattern::Pattern;
pub(crate) use permit::reads;
pub use token::NewToken;
pub use user_store::{Role, TokenInfo, User, UserStore};
