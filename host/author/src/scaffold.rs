//! `forebay new`: a project that builds, tests and runs as it is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use forebay_proto::ids::StageName;

use crate::{AuthorError, Language, Project, Role, sdk};

/// What to make.
#[derive(Clone, Debug)]
pub struct New<'a> {
    /// The name of the project and of its stage.
    pub name: &'a str,
    /// The language.
    pub language: Language,
    /// The role of its stage.
    pub role: Role,
    /// Where: the folder in which a folder NAME is made.
    pub inside: &'a Path,
}

/// Makes a project, and gives its directory.
///
/// # Errors
/// [`AuthorError::Usage`] if the name will not do or is taken, [`AuthorError::File`] from the system.
pub fn new(new: &New<'_>) -> Result<PathBuf, AuthorError> {
    check(new.name)?;
    let directory = new.inside.join(new.name);
    match fs::create_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let text = format!("{} is there already; choose another name, or remove it", directory.display());
            return Err(AuthorError::Usage(text));
        }
        made => made.map_err(|error| AuthorError::file("make", &directory, error))?,
    }
    for (path, text) in files(new) {
        sdk::write_if_other(&directory.join(path), &text)?;
    }
    Project::open(&directory)?;
    Ok(directory)
}

/// A name must do as that of a stage, a file, and an identifier in every language.
fn check(name: &str) -> Result<(), AuthorError> {
    let usage = |problem: &str| AuthorError::Usage(format!("the name `{name}` will not do: {problem}"));
    name.parse::<StageName>().map_err(|error| usage(&error.to_string()))?;
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        return Err(usage("expected small letters a to z, digits and hyphens"));
    }
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !begins || name.ends_with('-') || name.contains("--") {
        return Err(usage("it begins with a letter, and each hyphen stands between letters or digits"));
    }
    // Names of what every project or language has already.
    if ["stage", "forebay", "test", "testing", "main", "build", "target"].contains(&name) {
        return Err(usage("it has a meaning of its own in a project; choose another, as `my-stage`"));
    }
    Ok(())
}

fn files(new: &New<'_>) -> Vec<(String, Vec<u8>)> {
    let folders = ["all", new.role.name()].map(|part| format!("{}/{part}", new.language.templates()));
    let files = folders.iter().flat_map(|folder| sdk::below(folder));
    files.map(|(path, bytes)| (target(&filled(path, new)), filled_bytes(bytes, new))).collect()
}

/// The name a template's file gets: names that would mean something to tools here end in `.in`.
fn target(path: &str) -> String {
    path.strip_suffix(".in").unwrap_or(path).to_owned()
}

fn filled_bytes(bytes: &[u8], new: &New<'_>) -> Vec<u8> {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.to_vec(), |text| filled(text, new).into_bytes())
}

fn filled(text: &str, new: &New<'_>) -> String {
    text.replace("__name__", new.name)
        .replace("__ident__", &new.name.replace('-', "_"))
        .replace("__Type__", &camel_case(new.name))
        .replace("__version__", env!("CARGO_PKG_VERSION"))
}

fn camel_case(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let inside = Path::new("/nowhere");
        let new = New { name: "rain-gauge2", language: Language::Python, role: Role::Producer, inside };
        let text = filled("class __Type__: '__name__' # __ident__ __version__", &new);
        assert_eq!(text, format!("class RainGauge2: 'rain-gauge2' # rain_gauge2 {}", env!("CARGO_PKG_VERSION")));
        assert_eq!(target("Cargo.toml.in"), "Cargo.toml");
        assert_eq!(target("main.rs"), "main.rs");
    }

    #[test]
    fn names_that_some_language_cannot_take_are_refused() {
        for name in ["", "Greeter", "1st", "a_b", "-a", "a-", "a--b", "../x", "stage", "a b"] {
            let error = check(name).expect_err(name).to_string();
            assert!(error.contains("will not do"), "{error}");
        }
        check("greeter-2").expect("a usual name");
    }

    #[test]
    fn a_folder_that_is_there_is_not_touched() {
        let inside = tempfile::tempdir().unwrap();
        fs::create_dir(inside.path().join("greeter")).unwrap();
        let error = new(&New { name: "greeter", language: Language::Go, role: Role::Consumer, inside: inside.path() });
        assert!(error.expect_err("it is there").to_string().contains("is there already"));
        assert_eq!(fs::read_dir(inside.path().join("greeter")).unwrap().count(), 0);
    }
}
