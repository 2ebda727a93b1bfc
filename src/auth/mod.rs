//! Who may do what: users, their passwords and tokens, roles and grants, and the file they are in.
//!
//! Owns: what is known of users, and the one answer to whether something is permitted. Never does:
//! look at a key that exists, so that no refusal tells of one.
//!
//! # Layout
//! Pure: `pattern` and `key_set` (which names a grant is about), `access` with `permit` (what the
//! grants of a user come to, and what each request needs), `book` (roles and users as they stand in
//! the file), `users` (the same, to look up), `password`, `token`, `origin` and `throttle`. Wiring: `file` (the
//! file itself), `pool` (threads that hash), `service` ([`Auth`], which has it all).
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
mod credentials;
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

pub use access::Action;
pub(crate) use access::{Access, Need};
pub use book::{Book, Role, TokenInfo, User};
pub use credentials::Credentials;
pub use file::AuthFile;
use origin::Origin;
pub use password::hash_password;
pub(crate) use password::params;
pub use pattern::Pattern;
pub(crate) use permit::reads;
pub use service::Auth;
pub(crate) use service::{AUDIT, Login};
pub use token::NewToken;
