//! Who we are to a registry: what `docker login` left in `config.json` or with a helper.
//!
//! Looked for as docker does: `credHelpers` for this registry, then `credsStore`, then `auths`.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;

use crate::error::Error;

/// Longest `config.json` that is read, and longest answer of a helper. Unit: bytes. Real ones have a few thousand.
const BYTES_MAX: u64 = 1 << 20;

/// How long a helper may take: time enough for someone to unlock a key ring.
const HELPER_TIME: Duration = Duration::from_secs(60);

/// The name under which docker keeps what is for Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What shows a registry who we are. `Debug` shows no secret.
#[derive(Clone, Eq, PartialEq)]
pub(crate) enum Secret {
    None,
    Password {
        user: String,
        password: String,
    },
    /// A refresh token of OAuth 2.
    IdentityToken(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password { .. } => "Password",
            Self::IdentityToken(_) => "IdentityToken",
        })
    }
}

/// A secret, and in words where it was looked for.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) secret: Secret,
    pub(crate) looked: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// The usual file: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
pub(crate) fn usual_file() -> Option<PathBuf> {
    let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = named("DOCKER_CONFIG").or_else(|| Some(named("HOME")?.join(".docker")))?;
    Some(folder.join("config.json"))
}

impl Credentials {
    /// Those for `registry` in the file `path`. Blocks for as long as a helper takes, at most a minute.
    ///
    /// # Errors
    /// [`Error::Credentials`] if the file is there and cannot be used. That none is there is no error.
    pub(crate) fn find(path: Option<&Path>, registry: &str) -> Result<Self, Error> {
        let Some(path) = path else {
            let looked = "no credentials: neither DOCKER_CONFIG nor HOME is set".to_owned();
            return Ok(Self { secret: Secret::None, looked });
        };
        let failed = |why| Error::Credentials { path: path.to_owned(), why };
        let config = match read(path) {
            Ok(config) => config.map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let looked = format!("no credentials, as there is no {}", path.display());
                return Ok(Self { secret: Secret::None, looked });
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        let secret = config.secret(registry).map_err(failed)?;
        let looked = match &secret {
            Secret::None => format!("no credentials for it in {}", path.display()),
            Secret::Password { user, .. } => {
                format!("the credentials of user `{}` in {} were used", user.escape_debug(), path.display())
            }
            Secret::IdentityToken(_) => format!("the identity token in {} was used", path.display()),
        };
        Ok(Self { secret, looked })
    }
}

fn read(path: &Path) -> io::Result<Result<Config, String>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Ok(Err(format!("it is longer than {BYTES_MAX} bytes")));
    }
    // The message names line and column, and no value: what is at the place may be a password.
    Ok(serde_json::from_slice(&bytes)
        .map_err(|error| format!("it is not docker's JSON (line {}, column {})", error.line(), error.column())))
}

impl Config {
    fn secret(&self, registry: &str) -> Result<Secret, String> {
        let named = self.cred_helpers.iter().find(|(key, _)| is_for(key, registry)).map(|(_, helper)| helper);
        if let Some(helper) = named.or(self.creds_store.as_ref()).filter(|helper| !helper.is_empty()) {
            let server = if is_docker_hub(registry) { DOCKER_HUB } else { registry };
            if let Some(secret) = ask_helper(helper, server, HELPER_TIME)? {
                return Ok(secret);
            }
        }
        let exact = self.auths.get_key_value(registry);
        match exact.or_else(|| self.auths.iter().find(|(key, _)| is_for(key, registry))) {
            Some((key, entry)) => entry.secret().map_err(|why| format!("in `auths`, `{}`: {why}", key.escape_debug())),
            None => Ok(Secret::None),
        }
    }
}

impl Entry {
    fn secret(&self) -> Result<Secret, String> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Secret::IdentityToken(token.clone()));
        }
        if let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) {
            let text = BASE64_STANDARD.decode(auth).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = text.as_deref().and_then(|text| text.split_once(':'));
            let (user, password) = pair.ok_or("its `auth` is not `user:password` in base64")?;
            // Docker itself pads some with zeros.
            let password = password.trim_end_matches('\0').to_owned();
            return Ok(Secret::Password { user: user.to_owned(), password });
        }
        Ok(match (&self.username, &self.password) {
            (Some(user), Some(password)) => Secret::Password { user: user.clone(), password: password.clone() },
            // What `docker login` leaves where a helper keeps the secret.
            _ => Secret::None,
        })
    }
}

fn is_docker_hub(registry: &str) -> bool {
    matches!(registry, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// Whether a key of the file, which may be a URL, means this registry.
fn is_for(key: &str, registry: &str) -> bool {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let host = key.split('/').next().unwrap_or(key);
    host.eq_ignore_ascii_case(registry) || is_docker_hub(host) && is_docker_hub(registry)
}

/// Asks `docker-credential-HELPER`. `None` if it knows nothing of `server`.
fn ask_helper(helper: &str, server: &str, time: Duration) -> Result<Option<Secret>, String> {
    if helper.contains(['/', '\\']) {
        return Err(format!("`{}` is no name of a credential helper", helper.escape_debug()));
    }
    run_helper(Path::new(&format!("docker-credential-{helper}")), server, time)
}

fn run_helper(program: &Path, server: &str, time: Duration) -> Result<Option<Secret>, String> {
    let name = program.display();
    let mut command = Command::new(program);
    let command = command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("cannot run the credential helper `{name}`: {error}"))?;
    let answer = talk(&mut child, server, time);
    // Whether it has answered or not, it has no more to say; most have ended by now.
    let _ = child.kill();
    child.wait().map_err(|error| format!("`{name}`: {error}"))?;
    let answer = answer.ok_or_else(|| format!("`{name}` did not answer within {} s", time.as_secs()))?;
    match serde_json::from_slice::<HelperAnswer>(&answer) {
        Ok(found) if found.username == "<token>" => Ok(Some(Secret::IdentityToken(found.secret))),
        Ok(found) => Ok(Some(Secret::Password { user: found.username, password: found.secret })),
        Err(_) if String::from_utf8_lossy(&answer).contains("credentials not found") => Ok(None),
        Err(_) => Err(format!("`{name} get` gave no credentials; try it by hand with `{server}` as its input")),
    }
}

/// Tells a helper the server and reads its answer to the end; `None` after `time`.
fn talk(child: &mut Child, server: &str, time: Duration) -> Option<Vec<u8>> {
    let (mut input, output) = (child.stdin.take()?, child.stdout.take()?);
    let (sender, receiver) = mpsc::channel();
    let server = server.to_owned();
    // Ends with the helper, whose end closes the pipes.
    thread::spawn(move || {
        let mut answer = Vec::new();
        // One that does not read what it is asked answers nothing of use either.
        let _ = input.write_all(server.as_bytes());
        drop(input);
        let _ = output.take(BYTES_MAX).read_to_end(&mut answer);
        let _ = sender.send(answer);
    });
    receiver.recv_timeout(time).ok()
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Mutex};

    use super::*;

    /// Held by tests that start programs: a file that is written while another test forks cannot be run (ETXTBSY).
    static ALONE: Mutex<()> = Mutex::new(());

    fn password(user: &str, password: &str) -> Secret {
        Secret::Password { user: user.to_owned(), password: password.to_owned() }
    }

    fn find(config: &str, registry: &str) -> Result<Credentials, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, config).unwrap();
        Credentials::find(Some(&path), registry)
    }

    #[test]
    fn an_entry_is_found_under_each_of_its_names() {
        let auth = BASE64_STANDARD.encode("me:pass:word");
        for key in ["ghcr.io", "https://ghcr.io", "https://ghcr.io/v2/", "http://GHCR.io"] {
            let found =
                find(&format!(r#"{{"auths": {{"x": {{}}, "{key}": {{"auth": "{auth}"}}}}}}"#), "ghcr.io").unwrap();
            assert_eq!(found.secret, password("me", "pass:word"), "{key}");
        }
        let hub = format!(r#"{{"auths": {{"https://index.docker.io/v1/": {{"auth": "{auth}"}}}}}}"#);
        assert_eq!(find(&hub, "docker.io").unwrap().secret, password("me", "pass:word"));
        assert_eq!(find(&hub, "ghcr.io").unwrap().secret, Secret::None);
        let port = format!(r#"{{"auths": {{"localhost:5000": {{"auth": "{auth}"}}}}}}"#);
        assert_eq!(find(&port, "localhost:5001").unwrap().secret, Secret::None);
        let token = r#"{"auths": {"a.b": {"identitytoken": "t", "auth": ""}}}"#;
        assert_eq!(find(token, "a.b").unwrap().secret, Secret::IdentityToken("t".to_owned()));
    }

    #[test]
    fn where_it_was_looked_is_said_and_no_secret_is_shown() {
        let missing = Credentials::find(Some(Path::new("/nowhere/config.json")), "a.b").unwrap();
        assert!(missing.looked.contains("there is no /nowhere/config.json"), "{}", missing.looked);
        let found = find(r#"{"auths": {"a.b": {"username": "me", "password": "hunter2"}}}"#, "a.b").unwrap();
        assert_eq!(found.secret, password("me", "hunter2"));
        let shown = format!("{found:?}");
        assert!(shown.contains("user `me`") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_damaged_file_is_an_error_that_shows_nothing_of_it() {
        let _alone = ALONE.lock();
        for (config, expected) in [
            (r#"{"auths": "hunter2"}"#, "line 1"),
            (r#"{"auths": {"a.b": {"auth": "hunter2"}}}"#, "base64"),
            (r#"{"credsStore": "../hunter"}"#, "no name of a credential helper"),
            (r#"{"credsStore": "of-nobody"}"#, "cannot run the credential helper `docker-credential-of-nobody`"),
        ] {
            let error = find(config, "a.b").unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("config.json"), "{config}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    /// The child's path is searched by the parent's `PATH`; a helper is given by its whole path here instead.
    fn helper(script: &str, time: Duration) -> Result<Option<Secret>, String> {
        let _alone = ALONE.lock();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("helper");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        run_helper(&path, "a.b", time)
    }

    #[test]
    fn a_helper_is_asked_for_the_server() {
        let time = Duration::from_secs(20);
        let echo = r#"[ "$1" = get ] && printf '{"ServerURL":"x","Username":"me","Secret":"%s"}' "$(cat)""#;
        assert_eq!(helper(echo, time), Ok(Some(password("me", "a.b"))));
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        assert_eq!(helper(token, time), Ok(Some(Secret::IdentityToken("t".to_owned()))));
        assert_eq!(helper("echo credentials not found in native keychain; exit 1", time), Ok(None));
        assert!(helper("echo locked; exit 1", time).unwrap_err().contains("try it by hand with `a.b`"));
    }

    #[test]
    fn a_helper_that_hangs_is_ended() {
        let begun = std::time::Instant::now();
        let error = helper("exec sleep 300", Duration::from_millis(300)).unwrap_err();
        assert!(error.contains("did not answer"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(60));
    }
}
