//! The promises about users, roles and logins.

mod books;
mod logins;
mod permits;
mod reloads;
mod services;
