//! Secrets that a command reads: from a file, the environment, standard input or the terminal; never
//! from its arguments, which others see.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::failure::Failure;
use crate::secret_file;

/// Longest secret, bytes.
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

/// Makes a file that only its owner can read. One that is there is not touched.
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

/// What the environment has under `name`, if that is not empty.
pub(super) fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Asks at the terminal, without an echo.
pub(super) fn prompt(question: &str) -> Result<String, Failure> {
    rpassword::prompt_password(question).map_err(|error| Failure::io("the terminal", &error))
}

/// A new password: what standard input has if that is no terminal, else what is typed, twice the same.
pub(super) fn new_password(user: &str) -> Result<String, Failure> {
    if !io::stdin().is_terminal() {
        return first_line(io::stdin().lock(), "standard input");
    }
    let password = prompt(&format!("New password of {user}: "))?;
    if prompt("The same again: ")? != password {
        return Err(Failure::usage("the two were not the same; nothing was changed"));
    }
    Ok(password)
}

fn first_line(input: impl BufRead, what: &str) -> Result<String, Failure> {
    let mut line = String::new();
    let read = input.take(SECRET_BYTES_MAX + 1).read_line(&mut line);
    read.map_err(|error| Failure::io(what, &error))?;
    if line.len() as u64 > SECRET_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{what}: more than {SECRET_BYTES_MAX} bytes of secret"
        )));
    }
    let secret = line.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(Failure::usage(format!("{what}: there is no secret in its first line")));
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
