//! Requests to a registry: TLS, time-outs, who we are, where redirects may lead.
//!
//! ```text
//! Session::send  --> once --> 401 --> authorise (challenge, credentials, token) --> once
//!                      ^ |
//!                      +-+  up to five redirects of a GET, none of them to plain HTTP elsewhere
//! ```
//!
//! Blocks. An `Authorization` goes to the registry itself and to no other host, wherever the registry sends us.

use std::{
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ureq::{
    Agent, Body, SendBody,
    http::{Method, Response, Uri, header, uri::PathAndQuery},
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{
    challenge::{self, Challenge},
    credentials::Credentials,
    error::Error,
    manifest::shown,
    reference::{Reference, host_of, is_loopback},
    token,
};

/// How long a registry may take to be found, to be connected to and to send anything at all. A body may take longer,
/// as long as something of it comes.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// How long an answer may be waited for: registries hash what they were given before they confirm it.
const ANSWER: Duration = Duration::from_secs(120);

/// Redirects that are followed: registries give their blobs to other servers, which need one or two.
const REDIRECTS_MAX: usize = 5;

/// Longest text of an error or token that is read. Unit: bytes.
const TEXT_BYTES_MAX: u64 = 64 << 10;

/// How registries are spoken to.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Plain HTTP instead of TLS. Registries on this machine are spoken to so in any case.
    pub insecure_http: bool,
    /// The file with docker's credentials; `None`: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    pub credentials_file: Option<PathBuf>,
}

/// A conversation with one registry about one repository.
pub(crate) struct Session<'a> {
    agent: Agent,
    options: &'a Options,
    pub(crate) reference: &'a Reference,
    action: Action,
    plain: bool,
    authorization: Option<String>,
    /// In words, where credentials were looked for; once a registry has asked.
    looked: Option<String>,
}

/// What we want of a registry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    Pull,
    Push,
}

/// What is asked of it.
pub(crate) struct Request<'r> {
    pub(crate) method: Method,
    pub(crate) url: Uri,
    pub(crate) headers: Vec<(header::HeaderName, String)>,
    pub(crate) body: Option<&'r [u8]>,
}

impl<'r> Request<'r> {
    pub(crate) fn new(method: Method, url: Uri) -> Self {
        Self { method, url, headers: Vec::new(), body: None }
    }

    pub(crate) fn header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(self, body: &'r [u8]) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// Told how many bytes of the body have gone out.
type Sent<'p> = &'p mut dyn FnMut(u64);

impl<'a> Session<'a> {
    pub(crate) fn new(options: &'a Options, reference: &'a Reference, action: Action) -> Result<Self, Error> {
        let plain = options.insecure_http || reference.is_loopback();
        let agent = agent(plain, reference)?;
        Ok(Self { agent, options, reference, action, plain, authorization: None, looked: None })
    }

    pub(crate) fn registry(&self) -> &str {
        self.reference.registry()
    }

    /// `/v2/REPOSITORY/REST` at the registry.
    pub(crate) fn url(&self, rest: &str) -> Result<Uri, Error> {
        let authority = api_host(self.registry());
        let scheme = if self.plain { "http" } else { "https" };
        let url = format!("{scheme}://{authority}/v2/{}/{rest}", self.reference.repository());
        url.parse().map_err(|_| self.protocol(format!("`{}` is no address", shown(&url))))
    }

    /// Sends a request, with credentials if the registry asks for them. The answer may have any status but 401 and 403.
    pub(crate) fn send(&mut self, request: &Request<'_>, sent: Sent<'_>) -> Result<Response<Body>, Error> {
        let answer = self.follow(request, sent)?;
        if answer.status() != 401 {
            return self.permitted(answer);
        }
        let challenges = answer.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge = challenge::read(challenges.iter().filter_map(|value| value.to_str().ok()));
        let Some(challenge) = challenge else { return self.permitted(answer) };
        drop(answer);
        self.authorise(&challenge)?;
        let answer = self.follow(request, sent)?;
        self.permitted(answer)
    }

    fn permitted(&mut self, mut answer: Response<Body>) -> Result<Response<Body>, Error> {
        if !matches!(answer.status().as_u16(), 401 | 403) {
            return Ok(answer);
        }
        let said = said(&mut answer);
        Err(self.unauthorised(said))
    }

    pub(crate) fn unauthorised(&self, said: String) -> Error {
        Error::Unauthorised {
            registry: self.registry().to_owned(),
            action: match self.action {
                Action::Pull => "pull",
                Action::Push => "push",
            },
            repository: self.reference.repository().to_owned(),
            looked: self.looked.clone().unwrap_or_else(|| "it asked for no credentials".to_owned()),
            said,
        }
    }

    /// Finds out what to show the registry from now on.
    fn authorise(&mut self, challenge: &Challenge) -> Result<(), Error> {
        let file = self.options.credentials_file.clone().or_else(crate::credentials::usual_file);
        let credentials = Credentials::find(file.as_deref(), self.registry())?;
        self.looked = Some(credentials.looked);
        self.authorization = match challenge {
            Challenge::Basic => token::basic(&credentials.secret),
            Challenge::Bearer { realm, service } => {
                Some(token::ask(self, realm, service.as_deref(), &credentials.secret)?)
            }
        };
        match &self.authorization {
            Some(_) => Ok(()),
            None => Err(self.unauthorised(String::new())),
        }
    }

    /// What is asked of a token.
    pub(crate) fn scope(&self) -> String {
        let actions = if self.action == Action::Push { "pull,push" } else { "pull" };
        format!("repository:{}:{actions}", self.reference.repository())
    }

    /// Sends a request, and goes where redirects of a GET lead.
    fn follow(&self, request: &Request<'_>, sent: Sent<'_>) -> Result<Response<Body>, Error> {
        let (mut url, mut left) = (request.url.clone(), REDIRECTS_MAX);
        loop {
            let authorization = self.authorization.as_deref().filter(|_| self.is_registry(&url));
            let answer = self.once(request, &url, authorization, sent)?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) || request.method != Method::GET {
                return Ok(answer);
            }
            let to = self.location(&url, &answer)?;
            left = left.checked_sub(1).ok_or_else(|| self.protocol(format!("more than {REDIRECTS_MAX} redirects")))?;
            url = to;
        }
    }

    /// Sends one request to `url`, which has been looked at.
    pub(crate) fn once(
        &self,
        request: &Request<'_>,
        url: &Uri,
        authorization: Option<&str>,
        sent: Sent<'_>,
    ) -> Result<Response<Body>, Error> {
        let mut builder = ureq::http::Request::builder().method(request.method.clone()).uri(url);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        if let Some(authorization) = authorization {
            builder = builder.header(header::AUTHORIZATION, authorization);
        }
        let host = url.authority().map_or("", |authority| authority.as_str());
        let unusable = |error: ureq::http::Error| self.protocol(format!("no request can be made of this: {error}"));
        let answer = match request.body {
            Some(body) => {
                let mut body = Counted { rest: body, length: body.len(), sent };
                let request = builder.header(header::CONTENT_LENGTH, body.length);
                self.agent.run(request.body(SendBody::from_reader(&mut body)).map_err(unusable)?)
            }
            None => self.agent.run(builder.body(()).map_err(unusable)?),
        };
        answer.map_err(|error| Error::on_the_way(host, &error, SILENCE))
    }

    /// Where an answer from `base` sends us.
    pub(crate) fn location(&self, base: &Uri, answer: &Response<Body>) -> Result<Uri, Error> {
        let value = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
        let value = value.ok_or_else(|| self.protocol("it sends us on and does not say where to".to_owned()))?;
        let to = resolve(base, value).ok_or_else(|| self.protocol(format!("`{}` is no address", shown(value))))?;
        self.check(&to)?;
        Ok(to)
    }

    /// Nothing leaves in the clear because a registry says so.
    pub(crate) fn check(&self, url: &Uri) -> Result<(), Error> {
        let host = url.authority().map_or("", |authority| authority.host());
        let may = match url.scheme_str() {
            Some("https") => true,
            Some("http") => self.options.insecure_http || self.plain && is_loopback(host_of(host)),
            _ => false,
        };
        if may {
            return Ok(());
        }
        let url = shown(&url.to_string());
        Err(self.protocol(format!(
            "it sends us to `{url}`, which is not https; if it stands behind a proxy, have it use relative URLs"
        )))
    }

    /// Whether this is the registry itself.
    fn is_registry(&self, url: &Uri) -> bool {
        let port = |url: &Uri| url.port_u16().or(if url.scheme_str() == Some("https") { Some(443) } else { Some(80) });
        self.url("")
            .is_ok_and(|own| own.scheme() == url.scheme() && own.host() == url.host() && port(&own) == port(url))
    }

    pub(crate) fn protocol(&self, why: String) -> Error {
        Error::Protocol { registry: self.registry().to_owned(), why }
    }

    /// For an answer that is none of those expected.
    pub(crate) fn refused(&self, request: &Request<'_>, mut answer: Response<Body>) -> Error {
        Error::Refused {
            registry: self.registry().to_owned(),
            request: shown(&format!("{} {}", request.method, request.url.path())),
            status: answer.status().as_u16(),
            said: said(&mut answer),
        }
    }

    /// Reads a body of at most `bytes_max`, telling how much is there.
    pub(crate) fn read(
        &self,
        answer: Response<Body>,
        bytes_max: u64,
        came: &mut dyn FnMut(u64),
    ) -> Result<Vec<u8>, Error> {
        let mut reader = answer.into_body().into_with_config().limit(u64::MAX).reader().take(bytes_max + 1);
        let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(bytes),
                Ok(count) => bytes.extend_from_slice(piece.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::while_reading(self.registry(), error, SILENCE)),
            }
            came(bytes.len() as u64);
        }
    }

    /// Reads a short text.
    pub(crate) fn read_text(&self, answer: Response<Body>) -> Result<Vec<u8>, Error> {
        self.read(answer, TEXT_BYTES_MAX, &mut |_| {})
    }
}

fn agent(plain: bool, reference: &Reference) -> Result<Agent, Error> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("forebay/", env!("CARGO_PKG_VERSION")))
        .timeout_resolve(Some(SILENCE))
        .timeout_connect(Some(SILENCE))
        .timeout_send_request(Some(SILENCE))
        .timeout_recv_response(Some(ANSWER))
        .timeout_per_read(Some(SILENCE))
        .timeout_per_write(Some(SILENCE));
    if reference.is_loopback() {
        // A proxy's own loopback is another machine's.
        config = config.proxy(None);
    }
    if !plain {
        config = config.https_only(true);
    }
    Ok(config.tls_config(tls(reference.registry(), plain)?).build().new_agent())
}

/// The system's certificates are trusted, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`: a registry of one's own mostly
/// has a certificate of one's own authority, which an administrator has put there for all programs.
fn tls(host: &str, plain: bool) -> Result<TlsConfig, Error> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() && !plain {
        let said = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
        let why = format!("this system has no certificates{said}; install the package ca-certificates");
        return Err(Error::Tls { host: host.to_owned(), why });
    }
    let roots = found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = RootCerts::Specific(Arc::new(roots.collect()));
    Ok(TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider).build())
}

/// Docker Hub's API has another host than its names.
fn api_host(registry: &str) -> &str {
    if matches!(registry, "docker.io" | "index.docker.io") { "registry-1.docker.io" } else { registry }
}

/// An absolute URL, or a path at `base`'s host.
fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    if !location.starts_with('/') || location.starts_with("//") {
        return location.parse().ok().filter(|url: &Uri| url.scheme().is_some() && url.host().is_some());
    }
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(location).ok()?);
    Uri::from_parts(parts).ok()
}

/// What a registry says about its refusal, as `: ...`, or nothing.
fn said(answer: &mut Response<Body>) -> String {
    let mut bytes = Vec::new();
    let read = answer.body_mut().as_reader().take(TEXT_BYTES_MAX).read_to_end(&mut bytes);
    let errors = read.ok().and_then(|_| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let text = |value: &serde_json::Value| {
        let part = |name| value.get(name).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
        part("message").or(part("code")).map(str::to_owned)
    };
    let first = errors.as_ref().and_then(|errors| text(errors.get("errors")?.get(0)?));
    first.map_or(String::new(), |text| format!("; it says: {}", shown(&text)))
}

/// A body that tells how much of it has been taken.
struct Counted<'c> {
    rest: &'c [u8],
    length: usize,
    sent: Sent<'c>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.rest.read(buffer)?;
        (self.sent)((self.length - self.rest.len()) as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session<T>(reference: &str, insecure_http: bool, test: impl FnOnce(&Session<'_>) -> T) -> T {
        let options = Options { insecure_http, credentials_file: None };
        let reference = reference.parse().unwrap();
        test(&Session::new(&options, &reference, Action::Pull).unwrap())
    }

    #[test]
    fn a_registry_cannot_send_us_to_plain_http_elsewhere() {
        let check = |reference, insecure, url: &str| session(reference, insecure, |it| it.check(&url.parse().unwrap()));
        assert!(check("ghcr.io/a:1", false, "https://cdn.example.org/x").is_ok());
        assert!(check("ghcr.io/a:1", false, "http://ghcr.io/x").is_err());
        // Not to what listens on this machine either.
        assert!(check("ghcr.io/a:1", false, "http://127.0.0.1/x").is_err());
        assert!(check("localhost:5000/a:1", false, "http://[::1]:5001/x").is_ok());
        assert!(check("localhost:5000/a:1", false, "http://example.org/x").is_err());
        assert!(check("10.0.0.1:5000/a:1", true, "http://10.0.0.2/x").is_ok());
        assert!(check("10.0.0.1:5000/a:1", true, "ftp://10.0.0.2/x").is_err());
    }

    #[test]
    fn tls_is_left_out_for_this_machine_and_by_order_only() {
        let url = |reference, insecure| session(reference, insecure, |it| it.url("blobs/x").unwrap().to_string());
        assert_eq!(url("ghcr.io/a:1", false), "https://ghcr.io/v2/a/blobs/x");
        assert_eq!(url("docker.io/me/a:1", false), "https://registry-1.docker.io/v2/me/a/blobs/x");
        assert_eq!(url("[::1]:5000/a:1", false), "http://[::1]:5000/v2/a/blobs/x");
        assert_eq!(url("10.0.0.1:5000/a:1", true), "http://10.0.0.1:5000/v2/a/blobs/x");
    }

    #[test]
    fn only_the_registry_itself_is_shown_who_we_are() {
        let is = |url: &str| session("ghcr.io/a:1", false, |it| it.is_registry(&url.parse().unwrap()));
        assert!(is("https://ghcr.io/x") && is("https://ghcr.io:443/x"));
        assert!(!is("https://ghcr.io:444/x") && !is("http://ghcr.io/x") && !is("https://cdn.ghcr.io/x"));
    }

    #[test]
    fn locations_are_resolved() {
        let base = "https://a.b:5000/v2/x/blobs/uploads/".parse().unwrap();
        let resolve = |location| resolve(&base, location).map(|url| url.to_string());
        assert_eq!(resolve("/v2/u?s=1").unwrap(), "https://a.b:5000/v2/u?s=1");
        assert_eq!(resolve("http://c/d").unwrap(), "http://c/d");
        for wrong in ["", "u", "//c/d", "http:", "/a b"] {
            assert_eq!(resolve(wrong), None, "{wrong}");
        }
    }
}
