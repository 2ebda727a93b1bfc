//! Secrets that a command reads: from a file, the environment, standard input or the terminal;
//! never from its arguments, which other users can see.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::failure::Failure;
use crate::secret_file;

/// Maximum length of a secret, bytes.
const SECRET_BYTES_MAX: u64 = 16 * 1024;

/// Reads the first line of a file; of standard input for `-`.
pub(super) fn read_file(path: &Path) -> Result<String, Failure> {
    if path == Path::new("-") {
        return first_line(io::stdin().lock(), "standard input");
    }
    let what = path.display().to_string();
    let file = secret_file::open(path).map_err(|error| Failure::io(&what, &error))?;
    first_line(io::BufReader::new(file), &what)
}

/// A new file for a secret.
pub(super) struct SecretFile {
    file: File,
    what: String,
}

/// Creates a file that only its owner can read. An existing file is not touched.
pub(super) fn create(path: &Path) -> Result<SecretFile, Failure> {
    let what = path.display().to_string();
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let file = options.open(path).map_err(|error| Failure::io(&what, &error))?;
    Ok(SecretFile { file, what })
}

impl SecretFile {
    /// Writes the secret as a line.
    pub(super) fn write(mut self, secret: &str) -> Result<(), Failure> {
        let written = writeln!(self.file, "{secret}").and_then(|()| self.file.sync_all());
        written.map_err(|error| Failure::io(&self.what, &error))
    }
}

/// Returns the value of a variable if it is set and not empty.
pub(super) fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Prompts at the terminal, without echo.
pub(super) fn prompt(question: &str) -> Result<String, Failure> {
    rpassword::prompt_password(question).map_err(|error| Failure::io("the terminal", &error))
}

/// Returns a new password: standard input, if it is not a terminal; otherwise as typed twice.
pub(super) fn new_password(user: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return first_line(io::stdin().lock(), "standard input");
    }
    let password = prompt(&format!("New password of {user}: "))?;
    if prompt("Repeat the password: ")? != password {
        return Err(Failure::usage("the passwords differ; nothing was changed"));
    }
    Ok(password)
}

fn first_line(input: impl BufRead, what: &str) -> Result<String, Failure> {
    let mut line = String::new();
    let read = input.take(SECRET_BYTES_MAX + 1).read_line(&mut line);
    read.map_err(|error| Failure::io(what, &error))?;
    if line.len() as u64 > SECRET_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{what}: the secret is longer than {SECRET_BYTES_MAX} bytes"
        )));
    }
    let secret = line.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(Failure::usage(format!("{what}: no secret in the first line")));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a7_a_secret_is_the_first_line() {
        let read = |text: &str| first_line(text.as_bytes(), "x").map_err(|it| it.line(false));
        assert_eq!(read("a b \r\nrest").unwrap(), "a b ");
        assert_eq!(read("a").unwrap(), "a");
        assert!(read("").is_err() && read("\na").is_err());
        assert!(read(&"x".repeat(20_000)).unwrap_err().unwrap().contains("16384"));
    }
}
