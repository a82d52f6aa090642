//! The programs of a language: finding them, running them, and saying what they said.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::AuthorError;

/// A program by its name on `PATH`, or in one of these folders, which come first.
pub(crate) fn find(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = folders.iter().cloned().chain(env::split_paths(&path));
    folders.find_map(|folder| Some(folder.join(name)).filter(|file| is_program(file)))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Runs a command whose output goes to stderr, so that stdout stays for what was asked for.
///
/// # Errors
/// [`AuthorError::Failed`], with its exit status.
pub(crate) fn run(command: &mut Command) -> Result<(), AuthorError> {
    let stderr = std::io::stderr();
    let output = std::os::fd::AsFd::as_fd(&stderr).try_clone_to_owned();
    let command = match output {
        Ok(output) => command.stdout(output),
        Err(_) => command.stdout(Stdio::null()),
    };
    let status = command.stdin(Stdio::null()).status().map_err(|error| failed(command, &error.to_string(), ""))?;
    if status.success() { Ok(()) } else { Err(failed(command, &status.to_string(), "")) }
}

/// Runs a command and keeps what it prints; what it says on stderr is in the error.
///
/// # Errors
/// [`AuthorError::Failed`], with what it said.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, AuthorError> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed(command, &error.to_string(), ""))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    Err(failed(command, &output.status.to_string(), &String::from_utf8_lossy(&said)))
}

fn failed(command: &Command, status: &str, said: &str) -> AuthorError {
    let words = [command.get_program()].into_iter().chain(command.get_args()).map(OsStr::to_string_lossy);
    let words: Vec<_> =
        words.map(|word| if word.contains(' ') { format!("'{word}'") } else { word.into_owned() }).collect();
    AuthorError::Failed { command: words.join(" "), status: status.to_owned(), said: said.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_the_path() {
        assert!(find("sh", &[]).is_some());
        let sh = find("sh", &["/bin".into()]).unwrap();
        assert_eq!(sh, Path::new("/bin/sh"));
        assert_eq!(find("no-such-program-here", &["/bin".into()]), None);
    }

    #[test]
    fn what_a_command_said_is_in_the_error() {
        let error = output(Command::new("sh").args(["-c", "echo the reason >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("the reason") && error.contains("exit status: 3") && error.contains("sh -c"), "{error}");
        let error = run(&mut Command::new("/no/such/program")).unwrap_err().to_string();
        assert!(error.contains("/no/such/program"), "{error}");
    }
}
