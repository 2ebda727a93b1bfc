//! The promises about users, roles and logins.

mod logins;
mod permits;
mod reloads;
mod services;
mod user_stores;
