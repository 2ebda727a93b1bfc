//! What is promised of users, roles and logins.

mod books;
mod logins;
mod permits;
mod reloads;
mod services;
